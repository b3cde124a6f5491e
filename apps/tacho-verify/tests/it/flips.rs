//! Every byte of a small ledger and of a small bundle, flipped: all are reported, and alike.

use crate::both::{Both, line};
use seal::testkit::{bundle, run_key, sample, sample_on};
use seal::verify::{Finding, Options, Report, Verifier, verify_bundle};
use std::fs;

/// The sample fits, with room for zeros.
const SEGMENT_BYTES: usize = 6144;

fn verify(segments: &[Vec<u8>]) -> Result<Report, Finding> {
    let last = segments.iter().rposition(|s| s[..512].iter().any(|b| *b != 0)).unwrap_or(0);
    let mut verifier = Verifier::new(Options::default());
    for (number, segment) in segments.iter().enumerate() {
        verifier.push_segment(number as u64, segment, number == last)?;
    }
    verifier.finish()
}

#[test]
fn every_byte_of_a_ledger_is_sealed() {
    let mut both = Both::start("flips-ledger");
    let mut segments = sample_on("gateway.example/1", SEGMENT_BYTES).segments;
    let path = both.write("ledger", &segments);
    both.say(&format!("base\t{}", path.join("segment").display()));
    verify(&segments).unwrap();
    let mut flips = 0;
    for s in 0..segments.len() {
        for i in 0..segments[s].len() {
            // One bit in each byte for both; all bits at once for ours, which is the faster one.
            for xor in [1 << (i % 8), 0xff] {
                segments[s][i] ^= xor;
                let ours = verify(&segments);
                segments[s][i] ^= xor;
                assert!(ours.is_err(), "segment {s}, byte {i}, flipped by {xor:#x}, went unseen");
                if xor != 0xff {
                    let theirs = both.say(&format!("flip\t{s}\t{i}\t{xor}"));
                    assert_eq!(line(&ours), theirs, "segment {s}, byte {i}");
                }
                flips += 1;
            }
        }
    }
    assert_eq!(flips, 2 * 2 * SEGMENT_BYTES);
}

#[test]
fn every_byte_of_a_bundle_is_sealed() {
    let mut both = Both::start("flips-bundle");
    let sample = sample();
    let mut bytes = bundle(&sample.segments, &sample.runs[0], Some(run_key(sample.runs[0])));
    let path = both.directory.join("run.bundle");
    fs::write(&path, &bytes).unwrap();
    both.say(&format!("base\t{}", path.display()));
    let options = Options::default();
    verify_bundle(&bytes, &options).unwrap();
    for i in 0..bytes.len() {
        for xor in [0xff, 1 << (i % 8)] {
            bytes[i] ^= xor;
            let ours = verify_bundle(&bytes, &options);
            bytes[i] ^= xor;
            assert!(ours.is_err(), "byte {i}, flipped by {xor:#x}, went unseen");
            assert_eq!(line(&ours), both.say(&format!("flip\t0\t{i}\t{xor}")), "byte {i}");
        }
    }
}
