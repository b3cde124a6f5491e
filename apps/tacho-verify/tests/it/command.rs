//! The command itself: exit codes, and what is printed.

use crate::both::{fresh_directory, write_ledger};
use seal::testkit::{Sample, sample};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn tacho_verify(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacho-verify")).args(args).output().unwrap()
}

fn verify_py(args: &[&str]) -> Output {
    let script = Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../contrib/verify.py");
    Command::new("python3").arg("-B").arg(script).args(args).output().unwrap()
}

/// Both commands, the same arguments, the same exit code.
fn check(args: &[&str], code: i32) -> String {
    let (ours, theirs) = (tacho_verify(args), verify_py(args));
    assert_eq!(ours.status.code(), Some(code), "tacho-verify {args:?}: {ours:?}");
    assert_eq!(theirs.status.code(), Some(code), "verify.py {args:?}: {theirs:?}");
    String::from_utf8(ours.stdout).unwrap()
}

/// Short enough to be read by whoever wants to know what "verified" means.
#[test]
fn the_verifier_in_python_has_fewer_than_450_lines() {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let text = fs::read_to_string(Path::new(&manifest).join("../../contrib/verify.py")).unwrap();
    let lines = text.lines().count();
    assert!(lines < 450, "{lines}");
}

#[test]
fn exit_codes_are_those_of_the_format() {
    let directory = fresh_directory("command");
    let sample = sample();
    let good = write_ledger(&directory.join("good"), &sample.segments);
    let good = good.to_str().unwrap();
    let mut forged = sample.segments.clone();
    forged[0][700] ^= 1;
    let forged = write_ledger(&directory.join("forged"), &forged);
    let known = directory.join("known");
    fs::write(&known, sample.notes.last().unwrap().to_bytes()).unwrap();
    let known = known.to_str().unwrap();
    let key = sample.signer(0).verifier_key().to_string();
    let witness = Sample::witness().verifier_key().to_string();

    assert!(check(&[good], 0).starts_with("VERIFIED ledger gateway.example/1\n"));
    let page = check(&["--key", &key, "--witness", &witness, "--known", known, good], 0);
    assert!(!page.contains("NOT "), "{page}");
    assert!(page.contains("OPEN     1 records"), "{page}");
    let page = check(&[forged.to_str().unwrap()], 1);
    assert!(page.starts_with("NOT VERIFIED\n  rule     frame-crc: "), "{page}");
    check(&["--key", &sample.signer(1).verifier_key().to_string(), good], 1);
    check(&[], 2);
    check(&["--nonsense", good], 2);
    check(&["--key", &witness, good], 2);
    check(&["--witness", &key, good], 2);
    let text = directory.join("text");
    fs::write(&text, "not a note").unwrap();
    let text = text.to_str().unwrap();
    check(&["--known", text, good], 2);
    check(&["--known", "/nowhere/at/all", good], 3);
    check(&["/nowhere/at/all"], 3);
    check(&[text], 3);
    check(&[directory.to_str().unwrap()], 3);
}

/// A pipe in the place of a file would be waited for; a file with a hole in it is not read whole to find that out.
#[test]
fn what_is_no_file_or_too_long_could_not_be_read() {
    let directory = fresh_directory("command-odd");
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let ledger = write_ledger(&directory.join("ledger"), &sample().segments);
    let ledger = ledger.to_str().unwrap();
    for odd in ["checkpoint", "segment/0000000009.seg"] {
        let path = Path::new(ledger).join(odd);
        pipe(&path);
        check(&[ledger], 3);
        fs::remove_file(path).unwrap();
    }
    check(&[ledger], 0);
    let alone = directory.join("alone");
    pipe(&alone);
    check(&[alone.to_str().unwrap()], 3);
    let sparse = directory.join("sparse");
    fs::write(&sparse, b"TACHOBUN\0\0\0\x03\0\0\0\0").unwrap();
    fs::File::options().write(true).open(&sparse).unwrap().set_len((4 << 30) + 1).unwrap();
    check(&[sparse.to_str().unwrap()], 3);
    fs::remove_file(sparse).unwrap();
}

#[test]
fn json_is_one_line_of_version_1() {
    let directory = fresh_directory("command-json");
    let sample = sample();
    let good = write_ledger(&directory.join("good"), &sample.segments);
    let out = check(&["--json", good.to_str().unwrap()], 0);
    assert!(out.starts_with(
        "{\"version\":1,\"verified\":true,\"subject\":\"ledger\",\"origin\":\"gateway.example/1\","
    ));
    assert_eq!(out.lines().count(), 1);
    parses(&out);
    let mut forged = sample.segments.clone();
    forged[0][700] ^= 1;
    let forged = write_ledger(&directory.join("forged"), &forged);
    let out = check(&["--json", forged.to_str().unwrap()], 1);
    assert!(out.starts_with("{\"version\":1,\"verified\":false,\"rule\":\"frame-crc\","), "{out}");
    parses(&out);
    parses(&check(&["--json", "/nowhere/at/\"all\"\\\n\u{1}"], 3));
}

#[test]
fn nothing_but_the_verdict_is_printed_into_a_pipe() {
    let directory = fresh_directory("command-pipe");
    let good = write_ledger(&directory, &sample().segments);
    let output = tacho_verify(&[good.to_str().unwrap()]);
    assert!(output.stderr.is_empty(), "{output:?}");
}

/// A ledger that is being written: its last batch is half there.
#[test]
fn live_reports_a_torn_tail_and_counts_what_is_whole() {
    let directory = fresh_directory("command-live");
    let mut segments = sample().segments;
    let end = segments[1].iter().rposition(|b| *b != 0).unwrap();
    segments[1][end - 20..].fill(0);
    let path = write_ledger(&directory, &segments);
    let path = path.to_str().unwrap();
    assert_eq!(tacho_verify(&[path]).status.code(), Some(1));
    let output = tacho_verify(&["--live", path]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("TORN"));
    // Damage in the middle stays damage.
    segments[0][700] ^= 1;
    write_ledger(&directory, &segments);
    assert_eq!(tacho_verify(&["--live", path]).status.code(), Some(1));
}

/// A JSON parser that nobody here wrote.
fn parses(json: &str) {
    let check = "import json, sys; assert json.loads(sys.argv[1])['version'] == 1";
    let status = Command::new("python3").args(["-c", check, json]).status().unwrap();
    assert!(status.success(), "{json}");
}
