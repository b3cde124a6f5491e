//! Whose turn it is in scp, and on which path: both directions, as tables of what is said.

use bytes::BytesMut;
use proto_ssh::fault::kind as own;
use proto_ssh::limits::DEPTH_MAX;
use proto_ssh::path::Canonical;
use proto_ssh::scp::line::Ack;
use proto_ssh::scp::session::{Content, FromSource, Session};
use proto_ssh::scp::{Command, Word};
use wire::{Fault, RawField, Side, kind};

pub fn session(line: &str) -> Session {
    let word =
        |text: &str| Word { text: RawField::copy_from(text.as_bytes()), pattern: text.contains(['*', '?']) };
    let words: Vec<Word> = line.split(' ').skip(1).map(word).collect();
    let Some(command) = Command::read(&words) else { panic!("{line}") };
    Session::new(&command, Some(&Canonical::read(b"/h").unwrap())).unwrap()
}

/// Takes all that the source says, with a sink that takes everything; gives what was touched and read.
fn run(line: &str, source: &[u8]) -> Result<String, Fault> {
    let mut session = session(line);
    let mut source = BytesMut::from(source);
    let mut log: Vec<String> = Vec::new();
    loop {
        let acked = session.on_sink(&mut BytesMut::from(&b"\0"[..]))?.is_some();
        match session.on_source(&mut source)? {
            Some(FromSource::Line { touches, .. }) => {
                log.extend(
                    touches.iter().map(|t| format!("{} {}", t.operation.as_str(), t.path.canonical.shown())),
                );
            }
            Some(FromSource::Content(content)) => {
                log.push(format!("{}+{}", content.offset, content.bytes.len()))
            }
            Some(FromSource::Conclusion { .. }) => {}
            None if acked => {}
            None => break,
        }
    }
    session.finish(&source)?;
    Ok(log.join(", "))
}

fn check(line: &str, source: &[u8], expect: Result<&str, (Side, &str)>) {
    let got = run(line, source).map_err(|fault| (fault.side, fault.kind));
    assert_eq!(got, expect.map(str::to_owned), "{line}: {:?}", source.escape_ascii().to_string());
}

#[test]
fn an_answer_to_nothing_is_no_answer_to_what_comes_next() {
    let mut session = session("scp -r -p -d -t x");
    let mut source = BytesMut::from(&b"T1 0 2 0\nD0755 0 a\nE\nC0644 11 b\n"[..]);
    // As an old scp says of times that it could not set: behind its answer to the end of the directory.
    let mut sink = BytesMut::from(&b"\0\0\0\0"[..]);
    for _line in ["T", "D", "E"] {
        assert!(session.on_sink(&mut sink).unwrap().is_some());
        assert!(session.on_source(&mut source).unwrap().is_some());
        assert_eq!((session.turn(), session.quiet(b"\0")), (Some(Side::Upstream), Ok(())));
    }
    sink.extend_from_slice(b"\x01set times: not permitted\n");
    assert!(session.on_sink(&mut sink).unwrap().is_some_and(|said| said.ack == Ack::Ok));
    assert_eq!(session.turn(), Some(Side::Client));
    let fault = session.quiet(&sink).unwrap_err();
    assert_eq!((fault.side, fault.kind), (Side::Upstream, kind::OUT_OF_ORDER));
    assert_eq!(session.quiet(b""), Ok(()));
}

#[test]
fn a_sink_puts_files_at_its_target_or_into_it() {
    let file = b"C0644 5 f\nhello\0";
    check(
        "scp -t x",
        file,
        Ok("write /h/x, create /h/x, truncate /h/x, write /h/x/f, create /h/x/f, truncate /h/x/f, 0+5"),
    );
    check("scp -d -t x", file, Ok("write /h/x/f, create /h/x/f, truncate /h/x/f, 0+5"));
    check("scp -d -t /", b"C0644 0 f\n\0", Ok("write /f, create /f, truncate /f"));
    check(
        "scp -d -p -t x",
        b"T1 0 2 0\nC0644 0 f\n\0",
        Ok("write /h/x/f, create /h/x/f, truncate /h/x/f, chmod /h/x/f, utime /h/x/f"),
    );
    check("scp -d -t x", b"C4755 0 f\n\0", Ok("write /h/x/f, create /h/x/f, truncate /h/x/f, chmod /h/x/f"));
    check(
        "scp -r -d -t x",
        b"D0755 0 a\nD0755 0 b\nC0644 1 f\nx\0E\nE\nC0644 0 g\n\0",
        Ok("mkdir /h/x/a, mkdir /h/x/a/b, write /h/x/a/b/f, create /h/x/a/b/f, truncate /h/x/a/b/f, 0+1, \
            write /h/x/g, create /h/x/g, truncate /h/x/g"),
    );
    check(
        "scp -r -t x",
        b"D0755 0 a\nD0755 0 b\nE\nE\n",
        Ok("mkdir /h/x, mkdir /h/x/a, mkdir /h/x/b, mkdir /h/x/a/b"),
    );
}

#[test]
fn a_target_that_is_a_directory_by_its_letters_is_one() {
    let into = |at: &str| Ok(format!("write {at}, create {at}, truncate {at}"));
    for (target, at) in [
        (".", "/h/f"),
        ("./", "/h/f"),
        ("..", "/f"),
        ("x/..", "/h/f"),
        ("/h", "/h/f"),
        ("x/", "/h/x/f"),
        ("/", "/f"),
    ] {
        let got = run(&format!("scp -t {target}"), b"C0644 0 f\n\0");
        assert_eq!(got, into(at), "{target}");
    }
    check("scp -r -t .", b"D0755 0 d\nE\n", Ok("mkdir /h/d"));
    check("scp -r -t x/", b"D0755 0 d\nE\n", Ok("mkdir /h/x, mkdir /h/x/d"));
}

#[test]
fn a_source_reads_what_it_was_asked_for() {
    check("scp -f /d/f", b"C0644 5 f\nhello\0", Ok("read /d/f, 0+5"));
    check(
        "scp -f /d/*.txt",
        b"C0644 1 a.txt\nx\0C0644 1 b.txt\ny\0",
        Ok("read /d/a.txt, 0+1, read /d/b.txt, 0+1"),
    );
    check("scp -f a b/a", b"C0644 0 a\n\0", Ok("read /h/a, read /h/b/a"));
    check("scp -r -f d/", b"D0755 0 d\nC0644 1 x\ny\0E\n", Ok("list /h/d, read /h/d/x, 0+1"));
    let not_asked = Err((Side::Upstream, own::BAD_NAME));
    check("scp -f /d/f", b"C0644 5 .bashrc\nhello\0", not_asked);
    check("scp -f /d/*.txt", b"C0644 5 .txt\nhello\0", not_asked);
    check("scp -f /d/*.txt", b"C0644 5 authorized_keys\nhello\0", not_asked);
    check("scp -r -f d", b"D0755 0 e\nE\n", not_asked);
    check("scp -r -f .", b"D0755 0 .\nE\n", not_asked);
    check("scp -f /d/f", b"\x01scp: /d/f: No such file or directory\n", Ok(""));
}

#[test]
fn lengths_are_law() {
    check("scp -f f", b"C0644 5 f\nhello", Err((Side::Upstream, kind::TRUNCATED)));
    check("scp -f f", b"C0644 5 f\nhell", Err((Side::Upstream, kind::TRUNCATED)));
    // What is longer than its length says is no conclusion.
    check("scp -f f", b"C0644 4 f\nhello\0", Err((Side::Upstream, kind::BAD_VALUE)));
    check("scp -d -t x", b"C0644 4 f\nhello\0", Err((Side::Client, kind::BAD_VALUE)));
    check("scp -f f", b"C0644 5 f\nC0644\0", Ok("read /h/f, 0+5"));
    let large = [&b"C0644 70000 f\n"[..], &[b'x'; 70_000], b"\0"].concat();
    check("scp -f f", &large, Ok("read /h/f, 0+65536, 65536+4464"));
    check("scp -f f", b"C0644 9223372036854775807 f\nx", Err((Side::Upstream, kind::TRUNCATED)));
}

#[test]
fn what_is_out_of_order_is_the_sources_fault() {
    for (line, source, kind) in [
        ("scp -t x", &b"D0755 0 d\n"[..], kind::OUT_OF_ORDER),
        ("scp -t x", b"T1 0 2 0\n", kind::OUT_OF_ORDER),
        ("scp -p -t x", b"T1 0 2 0\nT1 0 2 0\n", kind::OUT_OF_ORDER),
        ("scp -p -t x", b"T1 0 2 0\n", kind::TRUNCATED),
        ("scp -r -t x", b"E\n", kind::OUT_OF_ORDER),
        ("scp -r -t x", b"D0755 0 d\nE\nE\n", kind::OUT_OF_ORDER),
        ("scp -r -t x", b"D0755 0 d\n", kind::TRUNCATED),
        ("scp -t x", b"\x02lost\nC0644 0 f\n", kind::TRAILING_BYTES),
        ("scp -t x", b"C0644", kind::TRUNCATED),
    ] {
        check(line, source, Err((Side::Client, kind)));
    }
    check("scp -t x", b"\x02lost\n", Ok(""));
    check("scp -t x", b"", Ok(""));
    let deep = |depth| run("scp -r -d -t x", &b"D0755 0 d\n".repeat(depth)).unwrap_err().kind;
    assert_eq!((deep(DEPTH_MAX), deep(DEPTH_MAX + 1)), (kind::TRUNCATED, kind::TOO_MANY));
    let deep = [b"D0755 0 d\n".repeat(DEPTH_MAX), b"E\n".repeat(DEPTH_MAX)].concat();
    assert!(run("scp -r -d -t x", &deep).is_ok());
}

#[test]
fn a_source_that_runs_ahead_waits_for_its_answer() {
    let mut session = session("scp -d -t x");
    let mut source = BytesMut::from(&b"C0644 5 f\nhello\0"[..]);
    assert_eq!(session.on_source(&mut source), Ok(None), "the sink begins");
    session.on_sink(&mut BytesMut::from(&b"\0"[..])).unwrap().unwrap();
    assert!(matches!(session.on_source(&mut source), Ok(Some(FromSource::Line { .. }))));
    assert_eq!(session.on_source(&mut source), Ok(None), "the sink has not answered");
    assert_eq!(&source[..], b"hello\0");
    // A sink that refuses makes of the content what it would be to the sink: a line.
    let refusal =
        session.on_sink(&mut BytesMut::from(&b"\x01scp: x/f: Permission denied\n"[..])).unwrap().unwrap();
    assert!(matches!(refusal.ack, Ack::Warning(_)));
    assert_eq!(session.on_source(&mut source).unwrap_err().kind, kind::BAD_VALUE);
}

#[test]
fn an_answer_without_a_line_waits_too() {
    let mut session = session("scp -f f");
    let mut sink = BytesMut::from(&b"\0\0"[..]);
    session.on_sink(&mut sink).unwrap().unwrap();
    assert_eq!((session.on_sink(&mut sink), sink.len()), (Ok(None), 1));
    session.on_source(&mut BytesMut::from(&b"C0644 5 f\n"[..])).unwrap().unwrap();
    session.on_sink(&mut sink).unwrap().unwrap();
    assert_eq!(session.on_sink(&mut BytesMut::from(&b"\x07"[..])), Ok(None), "content is on its way");
}

#[test]
fn a_line_that_is_refused_is_answered_in_the_sinks_place() {
    for (line, told) in [("scp -d -t x", None), ("scp -f f g", Some(&b"\x01no\n"[..]))] {
        let mut session = session(line);
        assert_eq!(session.refuse("no").unwrap_err().side, Side::Gateway, "no line waits");
        session.on_sink(&mut BytesMut::from(&b"\0"[..])).unwrap().unwrap();
        session.on_source(&mut BytesMut::from(&b"C0644 5 f\n"[..])).unwrap().unwrap();
        let refused = session.refuse("no").unwrap();
        assert_eq!((&refused.to_source[..], refused.to_sink.as_deref()), (&b"\x01no\n"[..], told));
        // The source goes on with the next file.
        let next = session.on_source(&mut BytesMut::from(&b"C0644 0 g\n"[..])).unwrap();
        assert!(matches!(next, Some(FromSource::Line { .. })));
    }
}

#[test]
fn content_keeps_its_length() {
    let mut content = Content { offset: 0, bytes: RawField::from_static(b"078-05-1120"), last: true };
    assert_eq!(content.replace(RawField::from_static(b"***")).unwrap_err().kind, own::CHANGED_LENGTH);
    content.replace(RawField::from_static(b"***********")).unwrap();
    assert_eq!(content.bytes.as_bytes(), b"***********");
}
