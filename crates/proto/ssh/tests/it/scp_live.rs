//! OpenSSH's scp on both ends, and a session between them that sees every byte.

use crate::scp::session;
use bytes::BytesMut;
use interop::place::Scratch;
use proto_ssh::scp::line::Line;
use proto_ssh::scp::session::{FromSource, Session};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use wire::RawField;

/// One end, and what it says.
struct End {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<Vec<u8>>,
    buffer: BytesMut,
}

impl End {
    fn start(line: &str, directory: &Path) -> End {
        let mut words = line.split(' ');
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let (tell, said) = sync_channel(16);
        std::thread::spawn(move || {
            let mut piece = [0; 16 << 10];
            while let Ok(came) = stdout.read(&mut piece) {
                if came == 0 || tell.send(piece[..came].to_vec()).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take();
        End { child, stdin, said, buffer: BytesMut::new() }
    }

    /// Waits a moment for more; `false` at its end.
    fn wait(&mut self) -> bool {
        match self.said.recv_timeout(Duration::from_millis(5)) {
            Ok(piece) => self.buffer.extend_from_slice(&piece),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
        }
        true
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a session saw.
#[derive(Default)]
struct Seen {
    touches: Vec<String>,
    content: Vec<u8>,
}

/// Carries all between source and sink. `refused` are names whose lines do not go on.
fn carry(session: &mut Session, source: &mut End, sink: &mut End, refused: &[&str]) -> Seen {
    let mut seen = Seen::default();
    let mut open = true;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        while let Some(answer) = session.on_sink(&mut sink.buffer).unwrap() {
            source.say(answer.held.as_bytes());
        }
        while let Some(said) = session.on_source(&mut source.buffer).unwrap() {
            match said {
                FromSource::Line { line, touches, held } => {
                    let name = match &line {
                        Line::File { name, .. } | Line::Directory { name, .. } => name.to_str().unwrap(),
                        _ => "",
                    };
                    if refused.contains(&name) {
                        let told = session.refuse("refused by policy").unwrap();
                        source.say(&told.to_source);
                        told.to_sink.iter().for_each(|bytes| sink.say(bytes));
                        continue;
                    }
                    let words = touches
                        .iter()
                        .map(|t| format!("{} {}", t.operation.as_str(), t.path.canonical.shown()));
                    seen.touches.extend(words);
                    sink.say(held.as_bytes());
                }
                FromSource::Content(mut content) => {
                    seen.content.extend_from_slice(content.bytes.as_bytes());
                    let masked = String::from_utf8(content.bytes.as_bytes().to_vec());
                    if let Ok(text) = masked {
                        let text = text.replace("078-05-1120", "***********");
                        content.replace(RawField::copy_from(text.as_bytes())).unwrap();
                    }
                    sink.say(content.bytes.as_bytes());
                }
                FromSource::Conclusion { held, .. } => sink.say(held.as_bytes()),
            }
        }
        if !open {
            session.finish(&source.buffer).unwrap();
            sink.stdin = None;
            sink.child.wait().unwrap();
            return seen;
        }
        open = source.wait();
        sink.wait();
    }
    panic!("no end; {:?}", seen.touches);
}

/// Every file below, by its path, with its content and mode.
fn tree(root: &Path) -> BTreeMap<String, (Option<Vec<u8>>, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let about = fs::metadata(&path).unwrap();
        let content = about.is_file().then(|| fs::read(&path).unwrap());
        if about.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        found.insert(name, (content, about.permissions().mode() & 0o7777));
    }
    found
}

fn plant(root: &Path) {
    fs::create_dir_all(root.join("t/sub/deep")).unwrap();
    fs::write(root.join("t/a.txt"), "ssn 078-05-1120\n").unwrap();
    fs::write(root.join("t/empty"), "").unwrap();
    fs::write(root.join("t/sub/name with space"), b"\xff".repeat(150_000)).unwrap();
    fs::write(root.join("t/sub/deep/z"), "z").unwrap();
}

#[test]
fn a_tree_goes_through_with_modes_and_times_and_a_mask() {
    let (from, to) = (Scratch::new("scp-from").unwrap(), Scratch::new("scp-to").unwrap());
    plant(from.path());
    let mut source = End::start("scp -r -p -f t", from.path());
    let mut sink = End::start("scp -r -p -d -t .", to.path());
    let mut session = session("scp -r -p -f t");
    let seen = carry(&mut session, &mut source, &mut sink, &[]);
    let mut expect = tree(&from.path().join("t"));
    expect.get_mut("a.txt").unwrap().0 = Some(b"ssn ***********\n".to_vec());
    assert_eq!(tree(&to.path().join("t")), expect);
    let mut touches = seen.touches;
    touches.sort();
    assert_eq!(
        touches,
        [
            "list /h/t",
            "list /h/t/sub",
            "list /h/t/sub/deep",
            "read /h/t/a.txt",
            "read /h/t/empty",
            "read /h/t/sub/deep/z",
            "read /h/t/sub/name with space"
        ]
    );
    assert_eq!(seen.content.len(), 16 + 150_000 + 1);
    let modified = |root: &Path| fs::metadata(root.join("t/sub")).unwrap().modified().unwrap();
    let age = modified(from.path()).duration_since(modified(to.path())).unwrap();
    assert!(age < Duration::from_secs(1), "{age:?}");
}

#[test]
fn what_is_refused_is_left_out_and_the_rest_goes_on() {
    for (line, host) in [("scp -r -f t", "source"), ("scp -r -d -t .", "sink")] {
        let (from, to) = (Scratch::new("scp-from").unwrap(), Scratch::new("scp-to").unwrap());
        plant(from.path());
        let mut source = End::start("scp -r -f t", from.path());
        let mut sink = End::start("scp -r -d -t .", to.path());
        let mut session = session(line);
        carry(&mut session, &mut source, &mut sink, &["a.txt", "deep"]);
        let mut expect: Vec<String> = tree(&from.path().join("t")).into_keys().collect();
        expect.retain(|name| !matches!(name.as_str(), "a.txt" | "sub/deep" | "sub/deep/z"));
        let got: Vec<String> = tree(&to.path().join("t")).into_keys().collect();
        assert_eq!(got, expect, "the host is the {host}");
    }
}

#[test]
fn a_source_without_its_file_says_so() {
    let (from, to) = (Scratch::new("scp-from").unwrap(), Scratch::new("scp-to").unwrap());
    let mut source = End::start("scp -f none", from.path());
    let mut sink = End::start("scp -d -t .", to.path());
    let seen = carry(&mut session("scp -f none"), &mut source, &mut sink, &[]);
    assert!(seen.touches.is_empty() && seen.content.is_empty());
    assert_eq!(tree(to.path()).len(), 1);
}
