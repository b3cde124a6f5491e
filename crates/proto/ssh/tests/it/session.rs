//! What may be asked, what answers what, and what is known of files.

use crate::pair::*;
use proto_ssh::fault::kind as own;
use proto_ssh::limits::*;
use proto_ssh::path::BadPath;
use proto_ssh::sftp::action::{Basis, Operation};
use proto_ssh::sftp::attrs::Attrs;
use proto_ssh::sftp::frame::{Frame, tag};
use proto_ssh::sftp::message::*;
use proto_ssh::sftp::reply::{Limits, Place};
use proto_ssh::sftp::session::*;
use proto_ssh::sftp::version::Extension;
use wire::{RawField, Side, kind};

fn stat(path: &str) -> Request {
    Request::Stat { path: raw(path) }
}

fn read(handle: &str, offset: u64, length: u32) -> Request {
    Request::Read { handle: raw(handle), offset, length }
}

fn write(handle: &str, offset: u64, data: &str) -> Request {
    Request::Write { handle: raw(handle), offset, data: raw(data) }
}

fn close(handle: &str) -> Request {
    Request::Close { handle: raw(handle) }
}

#[test]
fn the_beginning_is_init_version_and_the_home() {
    let mut session = Session::new(options());
    let Ok(Step::Begin(init)) = session.on_client(&hello(tag::INIT, 6, &[("vendor", "x")])) else {
        panic!("begin")
    };
    assert_eq!(&init[..], b"\0\0\0\x05\x01\0\0\0\x03", "a client's pairs say nothing to upstream");
    let pairs = [("posix-rename@openssh.com", "1"), ("vendor-id", "secret")];
    let Ok(Event::Greeted { ask, cut }) = session.on_upstream(&hello(tag::VERSION, 3, &pairs)) else {
        panic!("greeted")
    };
    assert_eq!(cut, [raw("vendor-id")]);
    let FromClient::Request { id, request } = FromClient::decode(&frame(&ask)).unwrap() else { panic!() };
    assert_eq!(request, Request::Realpath { path: raw(".") });
    let early = session.on_client(&request_frame(1, &stat("/x"))).unwrap_err();
    assert_eq!((early.side, early.kind), (Side::Client, kind::OUT_OF_ORDER), "before VERSION");
    let Ok(Event::Ready(version)) = session.on_upstream(&reply_frame(id, &name("/home/u"))) else {
        panic!("ready")
    };
    assert_eq!(frame(&version), hello(tag::VERSION, 3, &[("posix-rename@openssh.com", "1")]));
    assert_eq!(session.home().unwrap().as_bytes(), b"/home/u");
    let again = session.on_client(&hello(tag::INIT, 3, &[])).unwrap_err();
    assert_eq!((again.side, again.kind), (Side::Client, kind::OUT_OF_ORDER));
    let again = session.on_upstream(&hello(tag::VERSION, 3, &[])).unwrap_err();
    assert_eq!((again.side, again.kind), (Side::Upstream, kind::OUT_OF_ORDER));
}

#[test]
fn another_version_ends_it_on_the_side_that_has_it() {
    let mut session = Session::new(options());
    let old = session.on_client(&hello(tag::INIT, 2, &[])).unwrap_err();
    assert_eq!((old.side, old.kind), (Side::Client, own::UNSUPPORTED_VERSION));
    assert!(matches!(session.on_client(&hello(tag::INIT, 3, &[])), Ok(Step::Begin(_))));
    let early = session.on_upstream(&reply_frame(0, &name("/"))).unwrap_err();
    assert_eq!((early.side, early.kind), (Side::Upstream, kind::OUT_OF_ORDER));
    let new = session.on_upstream(&hello(tag::VERSION, 4, &[])).unwrap_err();
    assert_eq!((new.side, new.kind), (Side::Upstream, own::UNSUPPORTED_VERSION));
}

#[test]
fn without_a_home_relative_paths_are_refused() {
    for home in [status(Code::FAILURE), name("C:/Users")] {
        let mut pair = Pair::open_with(&[], home);
        assert_eq!(pair.refusal(1, &stat("x")), Why::Path(BadPath::NoHome));
        assert_eq!(pair.asked(1, &stat("/x")).id(), 1);
    }
}

#[test]
fn ids_are_one_at_a_time_and_answers_come_in_any_order() {
    let mut pair = Pair::open();
    let (one, _) = pair.send(1, &stat("/one"));
    let fault = pair.client(1, &stat("/again")).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Client, kind::BAD_VALUE));
    let (two, _) = pair.send(2, &stat("/two"));
    assert_eq!(pair.upstream(two, &Reply::Attrs(Attrs::default())).unwrap().id, 2);
    assert_eq!(pair.upstream(one, &status(Code::NO_SUCH_FILE)).unwrap().id, 1);
    let fault = pair.upstream(one, &status(Code::NO_SUCH_FILE)).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Upstream, kind::OUT_OF_ORDER), "answered twice");
    let _ = pair.send(1, &stat("/later"));
    assert_eq!(pair.session.outstanding(), 1);
}

#[test]
fn a_client_has_so_many_requests_open_and_no_more() {
    let mut pair = Pair::open();
    let mut asked: Vec<Asked> = (0..OUTSTANDING_MAX as u32).map(|id| pair.asked(id, &stat("/x"))).collect();
    assert!(pair.session.is_full());
    let fault = pair.client(u32::MAX, &stat("/x")).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Client, kind::TOO_MANY));
    pair.session.refused(asked.remove(0), Code::PERMISSION_DENIED, "no").unwrap();
    assert!(!pair.session.is_full());
}

/// For each request that upstream can be asked: which replies it may have. `S` a status OK, `s` another status, `H`, `D`,
/// `N` one name, `n` two, `A`, and `X`, `L`, `U` extended ones of statvfs, limits, users-groups-by-id.
#[test]
fn each_request_has_its_replies() {
    let replies: [(char, Reply); 10] = [
        ('S', status(Code::OK)),
        ('s', status(Code::FAILURE)),
        ('H', Reply::Handle(raw("h2"))),
        ('D', Reply::Data(raw("x"))),
        ('N', name("x")),
        ('n', Reply::Name(vec![])),
        ('A', Reply::Attrs(Attrs::default())),
        ('X', Reply::Extended(RawField::copy_from(&[0; 88]))),
        ('L', Reply::Extended(RawField::copy_from(&[0; 32]))),
        ('U', Reply::Extended(RawField::copy_from(&[0; 8]))),
    ];
    let path = || raw("/x");
    let file = || raw("rw");
    let attrs = Attrs::default;
    let requests: [(Request, &str); 29] = [
        (Request::Open { path: path(), flags: OpenFlags(1), attrs: attrs() }, "sH"),
        (Request::Close { handle: file() }, "Ss"),
        (read("rw", 0, 1), "sD"),
        (write("rw", 0, "x"), "Ss"),
        (Request::Lstat { path: path() }, "sA"),
        (Request::Fstat { handle: file() }, "sA"),
        (Request::Setstat { path: path(), attrs: attrs() }, "Ss"),
        (Request::Fsetstat { handle: file(), attrs: attrs() }, "Ss"),
        (Request::Opendir { path: path() }, "sH"),
        (Request::Readdir { handle: raw("dir") }, "sNn"),
        (Request::Remove { path: path() }, "Ss"),
        (Request::Mkdir { path: path(), attrs: attrs() }, "Ss"),
        (Request::Rmdir { path: path() }, "Ss"),
        (Request::Realpath { path: path() }, "sN"),
        (Request::Stat { path: path() }, "sA"),
        (Request::Rename { from: path(), to: path() }, "Ss"),
        (Request::Readlink { path: path() }, "sN"),
        (Request::Symlink { first: path(), second: path() }, "Ss"),
        (Request::PosixRename { from: path(), to: path() }, "Ss"),
        (Request::Statvfs { path: path() }, "sX"),
        (Request::Fstatvfs { handle: file() }, "sX"),
        (Request::Hardlink { from: path(), to: path() }, "Ss"),
        (Request::Fsync { handle: file() }, "Ss"),
        (Request::Lsetstat { path: path(), attrs: attrs() }, "Ss"),
        (Request::Limits, "sL"),
        (Request::ExpandPath { path: path() }, "sN"),
        (Request::CopyData { from: file(), from_offset: 0, length: 0, to: file(), to_offset: 0 }, "Ss"),
        (Request::HomeDirectory { user: raw("u") }, "sN"),
        (Request::UsersGroupsById { users: vec![], groups: vec![] }, "sU"),
    ];
    for (request, expect) in requests {
        let mut may = String::new();
        for (letter, reply) in &replies {
            let mut pair = Pair::open();
            pair.opened("/f", 3, "rw");
            pair.turn(&Request::Opendir { path: raw("/d") }, &Reply::Handle(raw("dir")));
            let (id, _) = pair.send(1, &request);
            match pair.upstream(id, reply) {
                Ok(answer) => {
                    assert_eq!((answer.id, answer.kind), (1, request.kind()));
                    may.push(*letter);
                }
                Err(fault) => assert_eq!(fault.side, Side::Upstream),
            }
        }
        assert_eq!(may, expect, "{}", request.kind());
    }
}

#[test]
fn handles_are_those_that_upstream_gave() {
    let mut pair = Pair::open();
    pair.opened("f", 1, "0");
    assert_eq!(pair.refusal(1, &read("1", 0, 1)), Why::ForeignHandle);
    assert_eq!(pair.refusal(1, &read("", 0, 1)), Why::ForeignHandle);
    let fault = {
        let request = Request::Open { path: raw("g"), flags: OpenFlags(1), attrs: Attrs::default() };
        let (id, _) = pair.send(1, &request);
        pair.upstream(id, &Reply::Handle(raw("0"))).unwrap_err()
    };
    assert_eq!((fault.side, fault.kind), (Side::Upstream, kind::BAD_VALUE), "one that is in use");
    let (closing, _) = pair.send(2, &close("0"));
    assert_eq!(pair.refusal(3, &read("0", 0, 1)), Why::ForeignHandle, "closed when it is asked");
    assert_eq!(pair.refusal(3, &close("0")), Why::ForeignHandle);
    // Upstream may answer an OPEN before that CLOSE with the same handle.
    let again = pair.opened("h", 1, "0");
    let ended = pair.upstream(closing, &status(Code::OK)).unwrap().ended;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].path.canonical.as_bytes(), b"/h/f");
    assert_ne!(ended[0].file, again);
    assert_eq!(pair.session.unclosed().len(), 1);
}

#[test]
fn a_handle_does_what_it_was_opened_for() {
    let mut pair = Pair::open();
    pair.opened("/r", 1, "r");
    pair.opened("/w", 2, "w");
    pair.turn(&Request::Opendir { path: raw("/d") }, &Reply::Handle(raw("d")));
    let size = Attrs { size: Some(0), ..Attrs::default() };
    let mode = Attrs { permissions: Some(0o600), ..Attrs::default() };
    let fsetstat = |handle, attrs: &Attrs| Request::Fsetstat { handle: raw(handle), attrs: attrs.clone() };
    let copy = |from, to| Request::CopyData {
        from: raw(from),
        from_offset: 0,
        length: 0,
        to: raw(to),
        to_offset: 0,
    };
    for request in [
        write("r", 0, "x"),
        read("w", 0, 1),
        read("d", 0, 1),
        write("d", 0, "x"),
        Request::Readdir { handle: raw("r") },
        Request::Fsync { handle: raw("d") },
        fsetstat("r", &size),
        fsetstat("d", &size),
        copy("w", "w"),
        copy("r", "r"),
        copy("r", "d"),
    ] {
        assert_eq!(pair.refusal(1, &request), Why::NotOpenedForThis, "{}", request.kind());
    }
    assert_eq!(pair.refusal(1, &copy("r", "x")), Why::ForeignHandle);
    for (id, (request, operation, basis)) in [
        (read("r", 0, 1), Operation::Read, Basis::Handle),
        (write("w", 0, "x"), Operation::Write, Basis::Handle),
        (Request::Readdir { handle: raw("d") }, Operation::List, Basis::Handle),
        (fsetstat("w", &size), Operation::Truncate, Basis::Itself),
        (fsetstat("r", &mode), Operation::Chmod, Basis::Itself),
        (copy("r", "w"), Operation::Read, Basis::Handle),
    ]
    .into_iter()
    .enumerate()
    {
        let asked = pair.asked(id as u32, &request);
        let action = asked.action();
        assert_eq!((action.touches[0].operation, action.basis), (operation, basis), "{}", request.kind());
    }
}

#[test]
fn open_files_are_bounded() {
    let mut pair = Pair::open();
    for n in 0..HANDLES_MAX - 1 {
        pair.opened("/f", 1, &n.to_string());
    }
    let open = Request::Opendir { path: raw("/d") };
    let (id, _) = pair.send(1, &open);
    assert_eq!(pair.refusal(2, &open), Why::TooManyHandles, "those that are being opened count");
    pair.upstream(id, &status(Code::FAILURE)).unwrap();
    pair.turn(&open, &Reply::Handle(raw("last")));
    assert_eq!(pair.refusal(2, &open), Why::TooManyHandles);
    pair.turn(&close("0"), &status(Code::OK));
    pair.turn(&open, &Reply::Handle(raw("0")));
}

#[test]
fn offsets_of_reads_say_whether_the_file_was_read_whole() {
    let mut pair = Pair::open();
    let order = |pair: &mut Pair, offset, data: &str| {
        let answer = pair.turn(&read("h", offset, 4), &Reply::Data(raw(data)));
        let piece = answer.content.unwrap().piece;
        assert_eq!((piece.offset, piece.length), (offset, data.len() as u64));
        piece.order
    };
    pair.opened("/f", 1, "h");
    assert_eq!(order(&mut pair, 0, "abcd"), Order::Next);
    assert_eq!(order(&mut pair, 4, "ef"), Order::Next, "a short one");
    let eof = pair.turn(&read("h", 6, 4), &status(Code::EOF));
    assert_eq!(eof.content, None);
    let summary = pair.turn(&close("h"), &status(Code::OK)).ended.remove(0);
    let whole = Stream { bytes: 6, end: 6, sequential: true, complete: true, failed: false };
    assert_eq!((summary.read, summary.written.bytes, summary.altered), (whole, 0, false));

    pair.opened("/f", 1, "h");
    assert_eq!(order(&mut pair, 0, "abcd"), Order::Next);
    assert_eq!(order(&mut pair, 5, "fghi"), Order::Apart, "a gap");
    assert_eq!(order(&mut pair, 4, "e"), Order::Apart, "what comes after it too");
    assert_eq!(order(&mut pair, 9, "jk"), Order::Apart, "and what follows its end");
    let _ = pair.turn(&read("h", 11, 4), &status(Code::EOF));
    let summary = pair.turn(&close("h"), &status(Code::OK)).ended.remove(0);
    let apart = Stream { bytes: 11, end: 11, sequential: false, complete: false, failed: false };
    assert_eq!(summary.read, apart);

    // Two at once, answered the other way round; and an end far behind what came proves nothing.
    pair.opened("/f", 1, "h");
    let (first, _) = pair.send(1, &read("h", 0, 4));
    let (second, _) = pair.send(2, &read("h", 4, 4));
    let (end, _) = pair.send(3, &read("h", 100, 4));
    let came = pair.upstream(second, &Reply::Data(raw("efgh"))).unwrap().content.unwrap();
    assert_eq!(came.piece.order, Order::Apart);
    pair.upstream(first, &Reply::Data(raw("abcd"))).unwrap();
    pair.upstream(end, &status(Code::EOF)).unwrap();
    assert!(!pair.session.unclosed()[0].read.complete);
}

#[test]
fn what_stands_around_a_piece_is_within_a_file() {
    let around = |offset, length| Piece { offset, length, order: Order::Apart }.around(64);
    assert_eq!(around(0, 10), [(0, 0), (10, 64)]);
    assert_eq!(around(10, 10), [(0, 10), (20, 64)]);
    assert_eq!(around(1_000, 10), [(936, 64), (1_010, 64)]);
    let top = i64::MAX as u64;
    assert_eq!(around(top - 20, 10), [(top - 84, 64), (top - 10, 10)]);
    assert_eq!(around(u64::MAX, 1)[1].1, 0);
}

#[test]
fn offsets_of_writes_are_told_when_they_are_sent() {
    let mut pair = Pair::open();
    pair.opened("/f", 2, "h");
    let mut put = |offset, data: &str, code| {
        let (id, piece) = pair.send(1, &write("h", offset, data));
        pair.upstream(id, &status(code)).unwrap();
        piece.unwrap().order
    };
    assert_eq!(put(0, "ab", Code::OK), Order::Next);
    assert_eq!(put(2, "cd", Code::FAILURE), Order::Next);
    assert_eq!(put(2, "cd", Code::OK), Order::Apart, "the same again");
    let summary = pair.turn(&close("h"), &status(Code::OK)).ended.remove(0);
    assert_eq!(
        summary.written,
        Stream { bytes: 6, end: 4, sequential: false, complete: false, failed: true }
    );

    pair.opened("/f", 6, "h");
    let (id, piece) = pair.send(1, &write("h", 1 << 40, "ab"));
    assert_eq!(piece, Some(Piece { offset: 1 << 40, length: 2, order: Order::Appended }));
    pair.upstream(id, &status(Code::OK)).unwrap();
    let size = Attrs { size: Some(9), ..Attrs::default() };
    let _ = pair.turn(&Request::Fsetstat { handle: raw("h"), attrs: size }, &status(Code::OK));
    let summary = pair.turn(&close("h"), &status(Code::OK)).ended.remove(0);
    assert!(summary.altered && summary.written.sequential);
}

#[test]
fn no_offset_is_negative_to_somebody() {
    let mut pair = Pair::open();
    pair.opened("/f", 3, "h");
    let top = i64::MAX as u64;
    let size =
        |size| Request::Fsetstat { handle: raw("h"), attrs: Attrs { size: Some(size), ..Attrs::default() } };
    let copy = |from_offset, length, to_offset| Request::CopyData {
        from: raw("h"),
        from_offset,
        length,
        to: raw("h"),
        to_offset,
    };
    for request in [
        read("h", top, 1),
        read("h", u64::MAX, 1),
        write("h", top, "x"),
        size(top + 1),
        copy(0, top + 1, 0),
        copy(1, top, 0),
        copy(0, top, 1),
    ] {
        assert_eq!(pair.refusal(1, &request), Why::Offset, "{}", request.kind());
    }
    for (id, request) in [read("h", top - 1, 1), size(top), copy(0, top, 0)].into_iter().enumerate() {
        let _ = pair.send(id as u32, &request);
    }
}

#[test]
fn no_more_comes_than_was_asked_for() {
    let mut pair = Pair::open();
    pair.opened("/f", 1, "h");
    let asked = pair.asked(1, &read("h", 0, u32::MAX));
    let Request::Read { length, .. } = asked.upstream() else { panic!("a READ") };
    assert_eq!(*length as usize, FRAME_BYTES_MAX - 1024, "what a packet holds");
    let _ = pair.session.sent(asked).unwrap();
    let (id, _) = pair.send(2, &read("h", 0, 3));
    let fault = pair.upstream(id, &Reply::Data(raw("abcd"))).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Upstream, kind::BAD_LENGTH));
}

#[test]
fn what_goes_upstream_has_canonical_paths_and_an_id_of_the_sessions() {
    let mut pair = Pair::open();
    let asked = pair.asked(4_000_000_000, &Request::Rename { from: raw("a/../b/"), to: raw("//c/./d") });
    let sent = pair.session.sent(asked).unwrap();
    let FromClient::Request { id, request } = FromClient::decode(&frame(&sent.bytes)).unwrap() else {
        panic!()
    };
    assert_eq!(request, Request::Rename { from: raw("/h/b"), to: raw("/c/d") });
    assert!(id < 10);
    assert_eq!(pair.upstream(id, &status(Code::OK)).unwrap().id, 4_000_000_000);
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let mut pair = Pair::open_with(&[("statvfs@openssh.com", "2")], name("/h"));
    let extended = |name: &str| {
        let mut body = b"\0\0\0\x09".to_vec();
        body.extend_from_slice(&(name.len() as u32).to_be_bytes());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"anything");
        Frame { tag: tag::EXTENDED, body: body.into() }
    };
    for (frame, why) in [
        (extended("check-file"), Why::UnknownExtension(raw("check-file"))),
        (extended("COPY-DATA"), Why::UnknownExtension(raw("COPY-DATA"))),
        (Frame { tag: 21, body: raw("\0\0\0\x09rest").into_bytes() }, Why::UnknownType(21)),
        (Frame { tag: tag::STATUS, body: raw("\0\0\0\x09").into_bytes() }, Why::UnknownType(tag::STATUS)),
        (Frame { tag: 0, body: raw("\0\0\0\x09").into_bytes() }, Why::UnknownType(0)),
        (request_frame(9, &Request::Limits), Why::NotOffered(Extension::Limits)),
    ] {
        let Ok(Step::Refuse(refused)) = pair.session.on_client(&frame) else { panic!("{why:?}") };
        assert_eq!((refused.id, &refused.why), (9, &why));
        assert_eq!(refused.why.code(), Code::OP_UNSUPPORTED);
    }
    assert_eq!(pair.refusal(9, &stat("a\0b")), Why::Path(BadPath::Nul));
    let open = |flags| Request::Open { path: raw("x"), flags: OpenFlags(flags), attrs: Attrs::default() };
    assert_eq!(pair.refusal(9, &open(0x40)), Why::Flags);
    let acl = Attrs { extended: Some(vec![(raw("acl"), raw("x"))]), ..Attrs::default() };
    assert_eq!(pair.refusal(9, &Request::Setstat { path: raw("x"), attrs: acl }), Why::ExtendedAttributes);
    let _ = pair.send(9, &Request::Statvfs { path: raw("x") });
}

#[test]
fn names_in_a_directory_stay_in_it() {
    for bad in ["../x", "a/b", "/etc/passwd", "", "a\0b"] {
        let mut pair = Pair::open();
        pair.turn(&Request::Opendir { path: raw("/d") }, &Reply::Handle(raw("d")));
        let (id, _) = pair.send(1, &Request::Readdir { handle: raw("d") });
        let fault = pair.upstream(id, &name(bad)).unwrap_err();
        assert_eq!((fault.side, fault.kind), (Side::Upstream, own::BAD_NAME), "{bad:?}");
    }
    let mut pair = Pair::open();
    pair.turn(&Request::Opendir { path: raw("d/") }, &Reply::Handle(raw("d")));
    let answer = pair.turn(&Request::Readdir { handle: raw("d") }, &name(".."));
    assert_eq!(answer.directory.unwrap().as_bytes(), b"/h/d");
}

#[test]
fn questions_of_the_gateways_own_are_not_the_clients() {
    let mut pair = Pair::open();
    let file = pair.opened("/f", 1, "h");
    let handle = pair.session.handle(file).unwrap().clone();
    let (question, bytes) = pair.session.ask(&Request::Read { handle, offset: 0, length: 9 }).unwrap();
    let (closing, _) = pair.send(1, &close("h"));
    assert!(pair.upstream(closing, &status(Code::OK)).unwrap().ended.is_empty(), "it is still read");
    let event = pair.session.on_upstream(&reply_frame(id_of(&bytes), &Reply::Data(raw("margin")))).unwrap();
    let Event::Own { question: answered, reply, ended } = event else { panic!("{event:?}") };
    assert_eq!((answered, reply), (question, Reply::Data(raw("margin"))));
    assert_eq!((ended.len(), ended[0].read.bytes), (1, 0), "it is in no stream");
    assert_eq!(pair.session.handle(file), None);
    for request in [read("h", 0, 1), Request::Remove { path: raw("/x") }, write("h", 0, "x")] {
        assert_eq!(pair.session.ask(&request).unwrap_err().side, Side::Gateway, "{}", request.kind());
    }
}

#[test]
fn a_file_whose_handle_stays_here_is_closed() {
    let mut pair = Pair::open();
    let file = pair.opened("/f", 1, "h");
    let bytes = pair.session.abandon(file).unwrap();
    assert_eq!((pair.session.handle(file), pair.session.outstanding()), (None, 1));
    assert_eq!(pair.session.abandon(file).unwrap_err().side, Side::Gateway, "once");
    let event = pair.session.on_upstream(&reply_frame(id_of(&bytes), &status(Code::OK))).unwrap();
    let Event::Own { ended, .. } = event else { panic!("{event:?}") };
    assert_eq!((ended.len(), ended[0].file, pair.session.unclosed().len()), (1, file, 0));
}

#[test]
fn what_waits_for_a_decision_is_not_sent_behind_its_close() {
    let mut pair = Pair::open();
    pair.opened("/f", 1, "h");
    let held = pair.asked(1, &read("h", 0, 1));
    let (closing, _) = pair.send(2, &close("h"));
    assert_eq!(pair.session.sent(held).unwrap_err().side, Side::Gateway);
    pair.upstream(closing, &status(Code::OK)).unwrap();
}

#[test]
fn limits_are_the_gateways_where_they_are_lower() {
    let mut pair = Pair::open();
    let told = |pair: &mut Pair, limits: [u64; 4]| {
        let body = RawField::copy_from(&limits.map(u64::to_be_bytes).concat());
        let answer = pair.turn(&Request::Limits, &Reply::Extended(body));
        let Reply::Extended(body) = answer.reply else { panic!("limits") };
        Limits::decode(&body.into_bytes()).unwrap()
    };
    let ours = Limits {
        packet_bytes: 262_144,
        read_bytes: 261_120,
        write_bytes: 261_120,
        handles: HANDLES_MAX as u64,
    };
    assert_eq!(told(&mut pair, [0; 4]), ours);
    assert_eq!(told(&mut pair, [u64::MAX; 4]), ours);
    let low = Limits { packet_bytes: 34_000, read_bytes: 32_768, write_bytes: 32_768, handles: 10 };
    assert_eq!(told(&mut pair, [34_000, 32_768, 32_768, 10]), low);
}

#[test]
fn what_nobody_looks_at_does_not_reach_the_client() {
    let mut pair = Pair::open();
    let hidden =
        || Attrs { size: Some(1), extended: Some(vec![(raw("x"), raw("secret"))]), ..Attrs::default() };
    let shown = Attrs { size: Some(1), ..Attrs::default() };
    assert_eq!(pair.turn(&stat("/x"), &Reply::Attrs(hidden())).reply, Reply::Attrs(shown.clone()));
    let entry = |attrs| Reply::Name(vec![Entry { filename: raw("n"), longname: raw("l"), attrs }]);
    pair.turn(&Request::Opendir { path: raw("/d") }, &Reply::Handle(raw("d")));
    assert_eq!(pair.turn(&Request::Readdir { handle: raw("d") }, &entry(hidden())).reply, entry(shown));
    let failed = |code, language| Reply::Status(Status { code, said: Some((raw("said"), raw(language))) });
    let answer = pair.turn(&stat("/x"), &failed(Code(11), "secret"));
    assert_eq!(answer.reply, failed(Code::FAILURE, ""), "a code of a later version");
    let answer = pair.turn(&stat("/x"), &failed(Code::NO_SUCH_FILE, "en"));
    assert_eq!(answer.reply, failed(Code::NO_SUCH_FILE, ""));
}

#[test]
fn an_answer_is_told_with_the_clients_id_and_what_was_put_in_its_place() {
    let mut pair = Pair::open();
    pair.opened("/f", 1, "h");
    let mut answer = pair.turn(&read("h", 0, 11), &Reply::Data(raw("078-05-1120")));
    answer.reply.replace(Place::Data, raw("***********")).unwrap();
    let mut out = bytes::BytesMut::new();
    answer.encode(&mut out).unwrap();
    let told = FromUpstream::decode(&frame(&out)).unwrap();
    assert_eq!(told, FromUpstream::Reply { id: 7, reply: Reply::Data(raw("***********")) });
}
