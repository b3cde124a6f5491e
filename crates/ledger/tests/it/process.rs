//! The real thing: a process on a real disk, killed and traced.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ledger::read::Store;
use ledger::{Config, Ledger, RealDisk, SystemClock, SystemRandom};

use crate::harness::{Scratch, entries, segments_in, verify, verify_py};

/// The example beside this test's binary.
fn append_loop() -> PathBuf {
    let deps = std::env::current_exe().unwrap();
    let example = deps.parent().unwrap().parent().unwrap().join("examples/append_loop");
    assert!(example.exists(), "`cargo test -p ledger` builds the example; `--test it` alone does not");
    example
}

/// Runs the loop until it has acknowledged `acks` records, then kills it. The acknowledgements: seq, n.
fn run_and_kill(dir: &Path, mode: &str, acks: usize) -> Vec<(u64, u64)> {
    let mut child = Command::new(append_loop())
        .arg(dir)
        .arg(mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < acks {
        acknowledged.push(parse(&lines.next().expect("the loop ended by itself").unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote before it died counts too; a last line may be cut.
    acknowledged.extend(
        lines.map_while(Result::ok).filter(|line| line.starts_with("acked ")).map(|line| parse(&line)),
    );
    acknowledged
}

fn parse(line: &str) -> (u64, u64) {
    let mut words = line.split(' ').skip(1).map(|word| word.parse().unwrap());
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    for mode in ["sync", "os"] {
        let scratch = Scratch::new(&format!("kill-{mode}"));
        let mut acknowledged: BTreeMap<u64, u64> = BTreeMap::new();
        let begun = Instant::now();
        for round in 0..12 {
            acknowledged.extend(run_and_kill(&scratch.0, mode, 1 + round * 37));
            let store = Store::open(&scratch.0.join("ledger")).unwrap();
            let found: BTreeMap<u64, _> = entries(&store)
                .iter()
                .map(|entry| (entry.seq.0, entry.body.get("n").and_then(|n| n.as_u64())))
                .collect();
            for (seq, n) in &acknowledged {
                assert_eq!(found.get(seq), Some(&Some(*n)), "{mode}, round {round}");
            }
            if begun.elapsed() > Duration::from_secs(60) {
                break; // a slow machine has seen enough
            }
        }
        let dir = scratch.0.join("ledger");
        let config = Config::new(&dir, scratch.0.join("keys"), "test");
        let (ledger, recovery) =
            Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new()).unwrap();
        assert_eq!(recovery.interrupted.len(), 1);
        ledger.shutdown("test").unwrap();
        let report = verify(&segments_in(&dir), Default::default()).unwrap();
        assert_eq!((report.open, report.open_runs), (0, 0));
        assert!(acknowledged.len() > 100);
    }
}

#[test]
fn both_verifiers_accept_a_ledger_that_was_killed_and_recovered() {
    let scratch = Scratch::new("killed");
    let dir = scratch.0.join("ledger");
    run_and_kill(&scratch.0, "sync", 20);
    let config = Config::new(&dir, scratch.0.join("keys"), "test");
    let (ledger, _) = Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new()).unwrap();
    ledger.shutdown("test").unwrap();
    verify(&segments_in(&dir), Default::default()).unwrap();
    if let Some((code, text)) = verify_py(&dir) {
        assert_eq!(code, 0, "{text}");
    }
}

/// Each acknowledgement comes after a `fdatasync` of the segment that began after the write of its record had
/// returned. Where there is no strace this says nothing; the simulated disk does.
#[test]
fn each_acknowledgement_follows_a_sync_of_its_write() {
    let Some(sync) = trace("sync") else { return };
    let checked = check_trace(&sync).unwrap();
    assert!(checked > 50, "{checked} acknowledgements");
    let mutant = trace("none").unwrap();
    assert!(check_trace(&mutant).is_err(), "a mutant that never syncs passes the same check");
}

/// The system calls of a short life of the loop; `None` without strace.
fn trace(mode: &str) -> Option<String> {
    let scratch = Scratch::new(&format!("strace-{mode}"));
    let log = scratch.0.join("log");
    let mut child = Command::new("strace")
        .args(["-f", "-y", "-e", "trace=pwrite64,fdatasync,write", "-o"])
        .arg(&log)
        .arg(append_loop())
        .arg(&scratch.0)
        .arg(mode)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // A sandbox may forbid tracing.
    for _ in 0..60 {
        lines.next()?.ok()?;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The tracee loses its reader and ends; the log is whole up to here.
    drop(lines);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::read_to_string(log).ok()
}

/// Replays a trace: how many acknowledgements it has, or the first that came too early. The loop has one writer, so
/// that between two acknowledgements there must be a write to a segment and then a sync of it that returned.
fn check_trace(trace: &str) -> Result<usize, String> {
    enum Segment<'a> {
        Idle,
        Written,
        SyncingIn(&'a str),
        Synced,
    }
    let (mut segment, mut acknowledged) = (Segment::Synced, 0);
    for line in trace.lines() {
        let thread = line.split(' ').next().unwrap_or_default();
        let of_segment = line.contains(".seg>");
        if line.contains("pwrite64(") && of_segment {
            segment = Segment::Written;
        } else if line.contains("fdatasync(") && of_segment && matches!(segment, Segment::Written) {
            segment = if line.contains("= 0") { Segment::Synced } else { Segment::SyncingIn(thread) };
        } else if line.contains("<... fdatasync resumed>") && line.contains("= 0") {
            if matches!(segment, Segment::SyncingIn(syncing) if syncing == thread) {
                segment = Segment::Synced;
            }
        } else if line.contains("\"acked ") {
            if !matches!(segment, Segment::Synced) {
                return Err(format!("acknowledged before the sync returned: {line}"));
            }
            segment = Segment::Idle;
            acknowledged += 1;
        }
    }
    Ok(acknowledged)
}

#[test]
fn the_trace_check_itself_can_fail() {
    let write = "7 pwrite64(4</l/0000000000.seg>, ...) = 9\n";
    let sync = "7 fdatasync(4</l/0000000000.seg>) = 0\n";
    let begun = "7 fdatasync(4</l/0000000000.seg> <unfinished ...>\n";
    let (done, other) = ("7 <... fdatasync resumed>) = 0\n", "8 <... fdatasync resumed>) = 0\n");
    let ack = "6 write(1<pipe:[1]>, \"acked 4 0\\n\", 10) = 10\n";
    let check = |parts: &[&str]| check_trace(&parts.concat());
    assert_eq!(check(&[write, sync, ack, write, begun, done, ack]), Ok(2));
    assert!(check(&[write, ack]).is_err(), "no sync");
    assert!(check(&[write, sync, ack, ack]).is_err(), "no write of its own");
    assert!(check(&[write, begun, ack]).is_err(), "the sync has not returned");
    assert!(check(&[write, begun, other, ack]).is_err(), "another thread's sync");
    assert!(check(&[write, sync, write, ack]).is_err(), "the sync was before the write");
}
