//! What is good verifies, with the same report.

use crate::both::{Both, Given};
use seal::testkit::{Sample, Writer, bundle, map, run_key, sample, sample_on, text};
use seal::verify::Subject;
use std::fs;

#[test]
fn a_good_ledger_verifies_and_the_report_counts_what_is_there() {
    let sample = sample();
    let mut both = Both::start("good-ledger");
    let path = both.write("ledger", &sample.segments);
    let report = both.ask(&path, &Given::default()).unwrap();
    assert_eq!((report.runs, report.open_runs, report.rotations, report.open), (4, 1, 1, 1));
    assert_eq!((report.segments, report.checkpoints), (2, sample.notes.len() as u64));
    assert!(!report.anchored && report.witnessed.is_none() && report.warnings.is_empty());

    let given = Given {
        key: Some(sample.signer(0).verifier_key().to_string()),
        witnesses: vec![
            Writer::witness("witness.example/other").verifier_key().to_string(),
            Sample::witness().verifier_key().to_string(),
        ],
        known: sample.notes.clone(),
    };
    let report = both.ask(&path, &given).unwrap();
    assert!(report.anchored);
    assert_eq!(report.known, sample.notes.len() as u64);
    let witnessed = sample.notes[sample.witnessed].checkpoint().unwrap().size;
    assert_eq!(report.witnessed.unwrap().size, witnessed);
    assert_eq!(report.unknown_signatures, 0);
}

#[test]
fn a_ledger_is_found_in_each_directory_that_people_name() {
    let sample = sample();
    let mut both = Both::start("good-places");
    let data = both.directory.join("data");
    let ledger = crate::both::write_ledger(&data.join("ledger"), &sample.segments);
    for path in [&data, &ledger, &ledger.join("segment")] {
        both.ask(path, &Given::default()).unwrap();
    }
}

#[test]
fn spares_are_passed_over_only_at_the_end() {
    let mut sample = sample();
    let mut both = Both::start("good-spares");
    sample.segments.extend([vec![0; 8192], vec![0; 8192]]);
    let path = both.write("ledger", &sample.segments);
    both.ask(&path, &Given::default()).unwrap();
}

#[test]
fn the_copy_of_the_checkpoint_is_held_against_the_ledger() {
    let sample = sample();
    let mut both = Both::start("good-copy");
    let path = both.write("ledger", &sample.segments);
    fs::write(path.join("checkpoint"), sample.notes.last().unwrap().to_bytes()).unwrap();
    assert_eq!(both.ask(&path, &Given::default()).unwrap().known, 1);
    fs::write(path.join("checkpoint"), b"half a che").unwrap();
    let report = both.ask(&path, &Given::default()).unwrap();
    assert_eq!((report.known, report.warnings.len()), (0, 1));
}

/// Which files are copies of checkpoints is the format's to say, and what is none of it is told.
#[test]
fn copies_are_files_of_the_formats_names_and_sizes() {
    let sample = sample();
    let mut both = Both::start("good-copies");
    let path = both.write("ledger", &sample.segments);
    let (witness, checkpoint) = (path.join("witness"), path.join("checkpoint"));
    fs::create_dir_all(&witness).unwrap();
    let cosigned = sample.notes[sample.witnessed].to_bytes();
    // Of another tree: it would break the ledger, if it were a copy.
    let foreign = sample_on("gateway.example/2", 8192).notes[1].to_bytes();
    for name in ["ABCDEF01", "abcdef0", "abcdef012", "+bcdef01", "abcdef01.tmp"] {
        fs::write(witness.join(name), &foreign).unwrap();
    }
    fs::write(witness.join("abcdef01"), &cosigned).unwrap();
    fs::write(&checkpoint, b"garbage".repeat(20_000)).unwrap();
    let given = Given { witnesses: vec![Sample::witness().verifier_key().to_string()], ..Given::default() };
    let report = both.ask(&path, &given).unwrap();
    assert_eq!((report.known, report.warnings.len()), (1, 1), "{report:?}");
    assert!(report.warnings[0].text.contains("`checkpoint` was not used"), "{report:?}");

    for number in 0..seal::limits::COPIES_MAX {
        fs::write(witness.join(format!("{number:08x}")), &cosigned).unwrap();
    }
    let report = both.ask(&path, &given).unwrap();
    assert_eq!((report.known, report.warnings.len()), (seal::limits::COPIES_MAX as u64, 2), "{report:?}");
}

/// A segment under a name that only some readers take for one would be verified, and read by nobody.
#[test]
fn a_segment_has_ten_digits() {
    let sample = sample();
    let mut both = Both::start("good-names");
    let path = both.write("ledger", &sample.segments);
    fs::rename(path.join("segment/0000000001.seg"), path.join("segment/+000000001.seg")).unwrap();
    let report = both.ask(&path, &Given::default()).unwrap();
    assert_eq!((report.segments, report.warnings.len()), (1, 1), "{report:?}");
}

#[test]
fn segments_may_be_full_to_the_last_byte() {
    let mut both = Both::start("good-full");
    let mut w = Writer::new("gateway.example/1", 4096);
    for n in 0..40 {
        w.batch();
        w.gateway("heartbeat", &map(&[("runs", seal::cbor::Value::Uint(n)), ("sessions", text("none"))]));
        if n % 3 == 0 {
            w.checkpoint();
        }
    }
    w.checkpoint();
    let mut segments = w.finish();
    assert!(segments.len() >= 2);
    // Cut the zeros off: what is left is a segment that its frames fill.
    for segment in &mut segments {
        let end = segment.iter().rposition(|b| *b != 0).unwrap() + 1;
        segment.truncate(end);
    }
    let path = both.write("ledger", &segments);
    both.ask(&path, &Given::default()).unwrap();
}

#[test]
fn a_good_bundle_verifies_and_says_whether_it_is_complete() {
    let sample = sample();
    let mut both = Both::start("good-bundle");
    for (n, run) in sample.runs.iter().enumerate().take(3) {
        for key in [None, Some(run_key(*run))] {
            let path = both.directory.join("run.bundle");
            fs::write(&path, bundle(&sample.segments, run, key)).unwrap();
            let given = Given {
                key: Some(sample.signer(0).verifier_key().to_string()),
                witnesses: vec![],
                known: vec![sample.notes.last().unwrap().clone()],
            };
            let report = both.ask(&path, &given).unwrap();
            assert_eq!(
                report.subject,
                Subject::Bundle { run: *run, records: [6, 6, 4][n], complete: true },
                "run {n}"
            );
        }
    }
    // As of a checkpoint at which run c is still open.
    let mut w = Writer::new("gateway.example/1", 8192);
    w.open([9; 16]);
    w.checkpoint();
    let path = both.directory.join("run.bundle");
    fs::write(&path, bundle(&w.finish(), &[9; 16], None)).unwrap();
    let report = both.ask(&path, &Given::default()).unwrap();
    assert_eq!(report.subject, Subject::Bundle { run: [9; 16], records: 1, complete: false });
}

/// In a bundle the keys' epochs come first, and they may be younger than the run by days.
#[test]
fn a_run_that_is_older_than_the_last_key_is_no_clock_that_ran_backwards() {
    let mut both = Both::start("good-old-run");
    let path = both.directory.join("run.bundle");
    let mut w = Writer::new("gateway.example/1", 8192);
    w.open([9; 16]);
    w.close([9; 16]);
    w.pass(3_600);
    w.rotate(1);
    w.checkpoint();
    w.open([8; 16]);
    w.pass(-6);
    w.close([8; 16]);
    w.checkpoint();
    let segments = w.finish();
    for (run, warnings) in [([9; 16], 0), ([8; 16], 1)] {
        fs::write(&path, bundle(&segments, &run, None)).unwrap();
        let report = both.ask(&path, &Given::default()).unwrap();
        assert_eq!(report.warnings.len(), warnings, "{report:?}");
    }
}
