//! How fast one core verifies: builds a ledger of N records of about 400 bytes in memory, then times the verifier.
//!
//! `cargo run --release -p tacho-verify --example bench_verify -- [RECORDS] [ROUNDS]`; one line for people, then `figure NAME NUMBER`
//! for programs. 64 records to a batch, 1,024 to a checkpoint, 16 runs at a time.

#![allow(clippy::unwrap_used)]

use seal::cbor::Value;
use seal::frame::{Frames, Kind};
use seal::testkit::{Writer, map, text};
use seal::tree::leaf_hash;
use seal::verify::{Options, Report, Verifier};
use std::time::Duration;

const RECORDS: u64 = 1_000_000;
const ROUNDS: usize = 5;
const RUNS: u64 = 16;

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>().expect("a number"));
    let records = args.next().unwrap_or(RECORDS);
    let rounds = args.next().map_or(ROUNDS, |n| n as usize).max(1);
    let segments = ledger(records);
    // Side by side in one run: on a busy machine only the ratio means something.
    let (mut seconds, mut hashing) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        seconds.push(timed(|| assert!(verify(&segments).records >= records)));
        hashing.push(timed(|| assert!(hash_alone(&segments) >= records)));
    }
    seconds.sort_by(f64::total_cmp);
    hashing.sort_by(f64::total_cmp);
    let report = verify(&segments);
    let (best, median) = (seconds[0], seconds[rounds / 2]);
    let ratio = median / hashing[rounds / 2];
    let rate = |t: f64| report.records as f64 / t / 1e6;
    let volume = |t: f64| report.bytes as f64 / t / 1e9;
    println!(
        "{} records of {} bytes: best {:.2} M records/s, {:.2} GB/s; median of {rounds} {:.2} M records/s, {:.2} GB/s; \
         {ratio:.1} x the time of CRC and one hash per record",
        report.records,
        report.bytes / report.records,
        rate(best),
        volume(best),
        rate(median),
        volume(median)
    );
    // For programs.
    println!("figure records-per-second {:.0}", report.records as f64 / median);
    println!("figure bytes-per-second {:.0}", report.bytes as f64 / median);
    println!("figure times-hashing {ratio:.2}");
}

/// Seconds of this thread on a processor, so that a busy machine counts no less than an idle one.
fn timed(work: impl FnOnce()) -> f64 {
    let start = on_processor();
    work();
    (on_processor() - start).as_secs_f64()
}

fn on_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// The floor: the frames' CRCs and one SHA-256 over each record. Returns how many there were.
fn hash_alone(segments: &[Vec<u8>]) -> u64 {
    let mut records = 0;
    for frame in segments.iter().flat_map(|segment| Frames::of_segment(segment)) {
        let frame = frame.unwrap();
        if frame.kind == Kind::Record {
            std::hint::black_box(leaf_hash(frame.body));
            records += 1;
        }
    }
    records
}

fn verify(segments: &[Vec<u8>]) -> Report {
    let mut verifier = Verifier::new(Options::default());
    for (number, segment) in segments.iter().enumerate() {
        verifier.push_segment(number as u64, segment, number + 1 == segments.len()).unwrap();
    }
    verifier.finish().unwrap()
}

fn ledger(records: u64) -> Vec<Vec<u8>> {
    let mut w = Writer::new("gateway.example/bench", seal::frame::SEGMENT_BYTES_DEFAULT);
    let body = intent();
    let run = |n: u64| ((n % RUNS + 1) as u128).to_be_bytes();
    w.batch();
    (0..RUNS).for_each(|n| {
        w.open(run(n));
    });
    for n in 0..records {
        if n % 64 == 0 {
            w.batch();
        }
        w.record("intent", Some(run(n)), None, &body, &[]);
        if n % 1_024 == 1_023 {
            w.checkpoint();
        }
    }
    (0..RUNS).for_each(|n| {
        w.close(run(n));
    });
    w.checkpoint();
    w.finish()
}

/// About what an intent holds; with the header some 400 bytes.
fn intent() -> Value {
    let touch = map(&[("verb", text("read")), ("on", text("crm/crm/public/customers"))]);
    map(&[
        ("via", text("query")),
        ("verbs", Value::Array(vec![text("read")])),
        ("touches", Value::Array(vec![touch])),
        ("statement", text("select name, email from customers where id = $1")),
        ("asked", Value::Bytes(vec![0xa5; 32])),
        ("sending", Value::Bytes(vec![0x5a; 32])),
        ("verdict", text("allow")),
        ("rules", Value::Array(vec![text("support-reads-crm")])),
        ("policy", Value::Bytes(vec![0x33; 32])),
        ("tx", text("idle")),
    ])
}
