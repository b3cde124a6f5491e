//! Every byte of a small ledger flipped: the verifier and the gateway both refuse.

use std::path::Path;

use ledger::limits::ADOPTED_RECORDS_MAX;
use ledger::{Ended, Kind, Map, OpenError, PayloadPlain};
use seal::cbor::Value;
use seal::frame::{Frames, Kind as FrameKind, encode_batch, encode_frame};
use seal::record::{Fields, Link, encode};
use seal::tree::leaf_hash;

use crate::harness::{DIR, Rig, Scratch, durable, intent, note, open_run, outcome, verify_py};

/// A ledger that ended cleanly: a run, a payload, several batches.
fn ended() -> Rig {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let asked = durable(&ledger, intent(run));
    durable(&ledger, outcome(run, asked).payload(PayloadPlain::new("rows", Map::new().put("n", 1u64))));
    durable(&ledger, note(run, 2));
    drop(ledger.close_run(run, Ended::Exited, None).unwrap());
    ledger.shutdown("test").unwrap();
    rig
}

fn segment() -> std::path::PathBuf {
    Path::new(DIR).join("segment/0000000000.seg")
}

/// Where the frames end.
fn used(segment: &[u8]) -> usize {
    segment.len() - segment.iter().rev().take_while(|byte| **byte == 0).count()
}

#[test]
fn no_byte_can_be_flipped_unseen() {
    let rig = ended();
    let whole = rig.disk.content(&segment()).unwrap();
    let records = rig.verify().unwrap().records;
    let last = rig.entries().last().unwrap().clone();
    let end = last.position.offset as usize + seal::frame::FRAME_HEADER_BYTES + last.bytes.len();
    let keys: Vec<_> = rig.disk.files().into_iter().filter(|path| !path.starts_with(DIR)).collect();
    let keys: Vec<_> = keys.into_iter().map(|path| (rig.disk.content(&path).unwrap(), path)).collect();
    let checkpoint = rig.disk.content(&Path::new(DIR).join("checkpoint")).unwrap();
    for offset in 0..used(&whole) + 600 {
        let mut flipped = whole.clone();
        flipped[offset] ^= 1 << (offset % 8);
        let copy = Rig::new(offset as u64);
        copy.disk.put(&segment(), &flipped);
        copy.disk.put(&Path::new(DIR).join("checkpoint"), &checkpoint);
        keys.iter().for_each(|(content, path)| copy.disk.put(path, content));
        assert!(copy.verify().is_err(), "byte {offset} verifies");
        match copy.try_open() {
            Err(OpenError::Damaged { .. } | OpenError::BehindCheckpoint { .. }) => {}
            // After the last record stand its checkpoint, which is signed anew, and zeros.
            Ok((_, recovery)) if offset >= end => assert_eq!(recovery.records, records),
            Ok(_) => panic!("byte {offset} opens"),
            Err(error) => panic!("byte {offset}: {error}"),
        }
    }
}

#[test]
fn both_verifiers_find_the_same_flips() {
    let rig = ended();
    let whole = rig.disk.content(&segment()).unwrap();
    let scratch = Scratch::new("flips");
    rig.export(&scratch.0);
    let Some((code, text)) = verify_py(&scratch.0) else { return };
    assert_eq!(code, 0, "{text}");
    for offset in (0..used(&whole)).step_by(701) {
        let mut flipped = whole.clone();
        flipped[offset] ^= 0x10;
        std::fs::write(scratch.0.join("segment/0000000000.seg"), &flipped).unwrap();
        assert_eq!(verify_py(&scratch.0).unwrap().0, 1, "byte {offset}");
    }
}

#[test]
fn a_missing_segment_is_named() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    for n in 0..200 {
        durable(&ledger, note(run, n));
        ledger.step();
    }
    drop(ledger);
    assert!(rig.segments().len() >= 3);
    ledger::Disk::remove(&rig.disk, &Path::new(DIR).join("segment/0000000001.seg")).unwrap();
    assert!(matches!(rig.try_open(), Err(OpenError::SegmentMissing(1))));
}

#[test]
fn a_ledger_cut_back_behind_its_published_checkpoint_does_not_open() {
    let rig = ended();
    let mut whole = rig.disk.content(&segment()).unwrap();
    // Cut the last record and all that follows, leaving a tail that reads as a clean end.
    let last = rig.entries().last().unwrap().position.offset as usize;
    whole[last..].fill(0);
    rig.disk.put(&segment(), &whole);
    assert!(matches!(rig.try_open(), Err(OpenError::BehindCheckpoint { .. })));
}

#[test]
fn a_hole_in_the_middle_is_refused_and_a_torn_tail_is_not() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let first = durable(&ledger, note(run, 1));
    let second = durable(&ledger, note(run, 2));
    drop(ledger);
    rig.disk.kill();
    let whole = rig.disk.content(&segment()).unwrap();
    let place = |seq| rig.entries().iter().find(|entry| entry.seq == seq).unwrap().position.offset as usize;
    let (first, second) = (place(first), place(second));
    let mut hole = whole.clone();
    hole[first + 20] ^= 1;
    let mut torn = whole;
    torn[second + 20] ^= 1;

    rig.disk.put(&segment(), &hole);
    let Err(OpenError::Damaged { segment: 0, offset, .. }) = rig.try_open() else { panic!("opened") };
    assert_eq!(offset, first as u64);

    rig.disk.put(&segment(), &torn);
    let (_ledger, recovery) = rig.try_open().unwrap();
    assert!(recovery.torn > 0);
    rig.verify().unwrap();
}

/// Adds records behind the last frame, as somebody can who may write the file and has no key.
fn forge(rig: &Rig, kinds: &[&str]) {
    let mut bytes = rig.disk.content(&segment()).unwrap();
    let frames = Frames::of_segment(&bytes).map(Result::unwrap);
    let batches = frames.filter(|frame| frame.kind == FrameKind::Batch).count() as u64;
    let (end, mut seq) = (used(&bytes), rig.entries().len() as u64);
    let mut out = Vec::new();
    encode_batch(batches, end as u64, &mut out);
    let (run, mut rseq, mut rprev) = ([0xfa; 16], 0, [0; 32]);
    for kind in kinds {
        let link = (*kind != "start").then_some(Link { run, rseq, rprev });
        let body = Value::Map(Vec::new()).to_bytes();
        let fields = Fields { seq, at: 1, kind, link, sess: None, of: None, pay: &[], body: &body };
        let mut record = Vec::new();
        encode(&fields, &mut record).unwrap();
        encode_frame(FrameKind::Record, &record, &mut out).unwrap();
        if link.is_some() {
            (rseq, rprev) = (rseq + 1, leaf_hash(&record));
        }
        seq += 1;
    }
    bytes.truncate(end);
    bytes.extend(out);
    bytes.resize(bytes.len().next_multiple_of(4096) + 4096, 0);
    rig.disk.put(&segment(), &bytes);
}

/// Behind its own end a gateway writes nothing but the next start.
#[test]
fn records_behind_a_signed_stop_are_not_signed() {
    for kinds in [&["open", "note"][..], &["start", "open"], &["start", "open", "close"]] {
        let rig = ended();
        let records = rig.entries().len() as u64;
        let before = rig.disk.content(&segment()).unwrap();
        forge(&rig, kinds);
        let forged = rig.disk.content(&segment()).unwrap();
        let stray = records + u64::from(kinds[0] == "start");
        match rig.try_open().map(drop) {
            Err(OpenError::AfterStop { seq, records: of }) => assert_eq!((seq, of), (stray, records)),
            other => panic!("{kinds:?}: {other:?}"),
        }
        assert_eq!(rig.disk.content(&segment()).unwrap(), forged, "nothing was written");
        rig.disk.put(&segment(), &before);
        rig.open();
    }
}

/// After a crash at most what fits between two checkpoints is signed, and the record says how much that was.
#[test]
fn no_more_records_are_adopted_than_a_crash_leaves() {
    let crashed = || {
        let rig = Rig::new(1);
        let ledger = rig.open();
        durable(&ledger, note(open_run(&ledger), 1));
        drop(ledger);
        rig.disk.kill();
        rig
    };
    let open = crashed();
    let signed = open.verify().unwrap().covered;
    let adopted = open.entries().len() as u64 - signed;
    assert!(adopted > 0);
    let (ledger, recovery) = open.try_open().unwrap();
    assert_eq!(recovery.adopted, adopted);
    drop(ledger);
    let start = open.entries().into_iter().rfind(|entry| entry.kind == Some(Kind::Start)).unwrap();
    assert_eq!(start.body.get("adopted").and_then(Value::as_u64), Some(adopted));

    let least = usize::try_from(ADOPTED_RECORDS_MAX - adopted).unwrap();
    for (more, opens) in [(least, true), (least + 1, false)] {
        let rig = crashed();
        let mut kinds = vec!["note"; more];
        kinds[0] = "open";
        forge(&rig, &kinds);
        match rig.try_open().map(drop) {
            Ok(()) => assert!(opens, "{more}"),
            Err(OpenError::Foreign { records }) => assert!(!opens && records > ADOPTED_RECORDS_MAX),
            Err(error) => panic!("{error}"),
        }
    }
}

/// A start that dies itself adds nothing to what it adopts: however often that happens, the next one opens.
#[test]
fn a_start_that_dies_leaves_no_more_unsigned_than_it_found() {
    for (changes, seed) in (0..40).flat_map(|changes| (1..6).map(move |seed| (changes, seed))) {
        let rig = Rig::new(seed);
        let ledger = rig.open();
        durable(&ledger, note(open_run(&ledger), 1));
        drop(ledger);
        rig.disk.kill();
        let unsigned = rig.entries().len() as u64 - rig.verify().unwrap().covered;
        let mut kinds = vec!["note"; usize::try_from(ADOPTED_RECORDS_MAX - unsigned).unwrap()];
        kinds[0] = "open";
        forge(&rig, &kinds);
        for _ in 0..3 {
            rig.disk.cut_after(changes);
            drop(rig.try_open());
            rig.disk.power_failure();
        }
        if let Err(error) = rig.try_open() {
            panic!("{changes} changes, seed {seed}: {error}");
        }
    }
}
