//! Puts one question to both verifiers.

use seal::note::SignedNote;
use seal::verify::{Finding, Known, Options, Report, Subject};
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tacho_verify::{Failure, verify_path};

/// What is given besides the evidence.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub key: Option<String>,
    pub witnesses: Vec<String>,
    pub known: Vec<SignedNote>,
}

impl Given {
    pub fn options(&self) -> Options {
        Options {
            witness_optional: false,
            anchor: self.key.as_ref().map(|key| seal::note::VerifierKey::parse(key).unwrap()),
            witnesses: self
                .witnesses
                .iter()
                .map(|key| seal::note::VerifierKey::parse(key).unwrap())
                .collect(),
            known: self.known.iter().map(|note| Known::parse(&note.to_bytes()).unwrap()).collect(),
            live: false,
        }
    }
}

/// The Python verifier, kept running, and a directory of its own.
pub struct Both {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    pub directory: PathBuf,
}

impl Both {
    /// `name` names the directory; each test has its own.
    pub fn start(name: &str) -> Both {
        let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
        let mut child = Command::new("python3")
            .arg(root.join("tests/it/driver.py"))
            .arg(root.join("../../contrib/verify.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("these tests need python3, 3.11 or newer");
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Both { child, stdin, stdout, directory: fresh_directory(name) }
    }

    /// Writes segments as a ledger would, and returns the ledger's directory.
    pub fn write(&self, name: &str, segments: &[Vec<u8>]) -> PathBuf {
        write_ledger(&self.directory.join(name), segments)
    }

    /// The verdict of both about a path, which must be one.
    pub fn ask(&mut self, path: &Path, given: &Given) -> Result<Report, Finding> {
        let known = given.known.iter().enumerate().map(|(i, note)| {
            let file = self.directory.join(format!("known-{i}"));
            fs::write(&file, note.to_bytes()).unwrap();
            file.to_str().unwrap().to_owned()
        });
        let known: Vec<String> = known.collect();
        let question = format!(
            "verify\t{}\t{}\t{}\t{}",
            path.to_str().unwrap(),
            given.key.as_deref().unwrap_or(""),
            given.witnesses.join(","),
            known.join(",")
        );
        let ours = match verify_path(path, &given.options(), &mut |_| ()) {
            Ok(report) => Ok(report),
            Err(Failure::NotVerified(finding)) => Err(*finding),
            Err(failure @ Failure::Unreadable { .. }) => panic!("{failure}"),
        };
        let theirs = self.say(&question);
        assert_eq!(
            line(&ours),
            theirs,
            "tacho-verify (left) and verify.py (right) disagree about {}: {ours:?}",
            path.display()
        );
        ours
    }

    /// One line to the driver, one line back.
    pub fn say(&mut self, question: &str) -> String {
        writeln!(self.stdin, "{question}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        assert!(answer.ends_with('\n'), "verify.py ended at: {question}");
        answer.trim_end().to_owned()
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn fresh_directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    directory
}

pub fn write_ledger(directory: &Path, segments: &[Vec<u8>]) -> PathBuf {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory.join("segment")).unwrap();
    for (number, segment) in segments.iter().enumerate() {
        fs::write(directory.join("segment").join(format!("{number:010}.seg")), segment).unwrap();
    }
    directory.to_owned()
}

/// A verdict in one line, as the driver writes it.
pub fn line(verdict: &Result<Report, Finding>) -> String {
    let report = match verdict {
        Ok(report) => report,
        Err(finding) => {
            return format!("no {} {} {} {}", finding.rule, finding.segment, finding.offset, finding.seq);
        }
    };
    let (subject, run, complete) = match report.subject {
        Subject::Ledger => ("ledger", "None".to_owned(), "None"),
        Subject::Bundle { run, complete, .. } => {
            ("bundle", hex(&run), if complete { "True" } else { "False" })
        }
    };
    let numbers = [
        report.records,
        report.bytes,
        report.runs,
        report.open_runs,
        report.checkpoints,
        report.covered,
        report.open,
        report.rotations,
    ]
    .map(|n| n.to_string())
    .join(" ");
    let anchored = if report.anchored { "True" } else { "False" };
    let witnessed = report.witnessed.map_or("None".to_owned(), |w| w.size.to_string());
    let far = [report.after_witnessed, report.known_size, report.after_known]
        .map(|n| n.map_or("None".to_owned(), |n| n.to_string()))
        .join(" ");
    let (origin, root) = (&report.origin, hex(&report.root));
    format!(
        "yes {subject} {origin} {numbers} {anchored} {} {witnessed} {far} {root} {run} {complete}",
        report.known
    )
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}
