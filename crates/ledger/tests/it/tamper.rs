//! Every byte of a small ledger flipped: the verifier and the gateway both refuse.

use std::path::Path;

use ledger::{Ended, Map, OpenError, PayloadPlain};

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
