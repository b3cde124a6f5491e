//! A disk that fails, and a disk that is full: refused at once, repaired, never silent.

use std::io::ErrorKind;

use ledger::{AppendError, Ended, Kind, Lost, Missed, NotAdmitted, limits};

use crate::harness::{Rig, durable, intent, note, open_run, outcome, settle};

#[test]
fn a_failed_sync_loses_its_batch_and_is_never_tried_again_on_the_same_blocks() {
    for seed in 0..50 {
        let rig = Rig::new(seed);
        let ledger = rig.open();
        let run = open_run(&ledger);
        let kept = durable(&ledger, note(run, 1));
        let lost = [ledger.append(note(run, 2)).unwrap(), ledger.append(note(run, 3)).unwrap()];
        rig.disk.fail_sync(1);
        assert!(!ledger.step_commit());
        for receipt in lost {
            assert_eq!(receipt.wait(), Err(Lost));
        }
        assert_eq!(ledger.admit(), Err(NotAdmitted::Failed));
        assert!(matches!(ledger.append(note(run, 4)), Err(AppendError::Failed)));
        ledger.missed(Missed::Refused);
        ledger.missed(Missed::Cut);
        assert!(ledger.status().warning.unwrap().contains("sync-failed"));

        ledger.step(); // the keeper repairs
        ledger.step();
        let after = durable(&ledger, note(run, 5));
        assert!(after > kept);
        let _ = ledger.checkpoint().unwrap();
        drop(ledger);
        rig.disk.power_failure();
        rig.verify().unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        let entries = rig.entries();
        let notes: Vec<u64> = entries
            .iter()
            .filter(|entry| entry.kind == Some(Kind::Note))
            .map(|entry| entry.body.get("n").unwrap().as_u64().unwrap())
            .collect();
        assert_eq!(notes, [1, 5]);
        let gap = entries.iter().find(|entry| entry.kind == Some(Kind::Gap)).unwrap();
        let field = |key| gap.body.get(key).unwrap();
        assert_eq!((field("refused").as_u64(), field("cut").as_u64()), (Some(1), Some(1)));
        assert_eq!(field("why").as_text(), Some("sync-failed"));
    }
}

#[test]
fn a_repair_that_fails_is_tried_again_later() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let lost = ledger.append(note(run, 1)).unwrap();
    rig.disk.fail_write(1, ErrorKind::Other);
    assert!(!ledger.step_commit());
    assert_eq!(lost.wait(), Err(Lost));
    rig.disk.fail_sync(1);
    ledger.step();
    assert_eq!(ledger.admit(), Err(NotAdmitted::Failed));
    ledger.step();
    assert_eq!(ledger.admit(), Err(NotAdmitted::Failed), "not before a second has passed");
    rig.clock.advance(limits::RETRY_MILLIS);
    ledger.step();
    assert_eq!(ledger.admit(), Ok(()));
    durable(&ledger, note(run, 2));
    rig.verify().unwrap();
}

#[test]
fn a_lost_open_ends_its_run_and_a_lost_close_does_not() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let closing = open_run(&ledger);
    let (opening, receipt) = ledger.open_run(crate::harness::open_draft()).unwrap();
    let closed = ledger.close_run(closing, Ended::Exited, None).unwrap();
    rig.disk.fail_sync(1);
    ledger.step();
    assert_eq!((receipt.wait(), closed.wait()), (Err(Lost), Err(Lost)));
    ledger.step();
    assert!(matches!(ledger.append(note(opening, 1)), Err(AppendError::RunEnded)));
    let closed = ledger.close_run(closing, Ended::Exited, None).unwrap();
    ledger.step_commit();
    settle(closed);
    rig.verify().unwrap();
}

#[test]
fn an_epoch_that_was_lost_is_turned_again() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let before = ledger.verifier_key();
    assert!(ledger.step_epoch());
    rig.disk.fail_sync(1);
    ledger.step();
    assert_eq!(ledger.verifier_key(), before);
    ledger.step();
    assert!(ledger.step_epoch());
    ledger.step();
    ledger.step();
    assert_ne!(ledger.verifier_key(), before);
    let _ = ledger.checkpoint().unwrap();
    rig.verify().unwrap();
    drop(ledger);
    drop(rig.open());
}

#[test]
fn a_full_disk_admits_nothing_new_and_still_finishes_what_was_begun() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    ledger.step(); // the first spare
    let run = open_run(&ledger);
    // Room for the segment in use and its spare, and for the keys; not for a third segment.
    rig.disk.set_capacity(Some(3 * rig.config.segment_bytes - 2_000));
    let mut begun = Vec::new();
    let refused = loop {
        match ledger.append(intent(run)) {
            Ok(receipt) => {
                ledger.step();
                begun.push(settle(receipt));
            }
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::NotAdmitted(NotAdmitted::NoSpare));
    assert!(begun.len() > 50, "{}", begun.len());
    assert!(ledger.status().warning.unwrap().contains("free space"));
    for intent in begun.iter().take(50) {
        durable(&ledger, outcome(run, *intent));
        ledger.step();
    }
    let closed = ledger.close_run(run, Ended::Exited, None).unwrap();
    ledger.step_commit();
    settle(closed);
    rig.verify().unwrap();

    // Even the reserve has an end: then nothing is taken, and nothing breaks.
    let watch = || ledger::Draft::new(Kind::Watch).put("who", "x").put("verb", "show").put("subject", "y");
    let full = loop {
        match ledger.append(watch()) {
            Ok(receipt) => {
                ledger.step();
                settle(receipt);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(full, AppendError::Full);
    rig.verify().unwrap();

    rig.disk.set_capacity(None);
    rig.clock.advance(limits::RETRY_MILLIS);
    ledger.step();
    assert_eq!(ledger.admit(), Ok(()));
    let run = open_run(&ledger);
    durable(&ledger, intent(run));
    let _ = ledger.checkpoint().unwrap();
    rig.verify().unwrap();
}

#[test]
fn a_ledger_on_a_full_disk_opens_for_what_it_owes() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    ledger.step();
    let asked = durable(&ledger, intent(run));
    drop(ledger);
    rig.disk.kill();
    rig.disk.set_capacity(Some(2 * rig.config.segment_bytes + 4_000));
    let (ledger, recovery) = rig.try_open().unwrap();
    assert_eq!((recovery.indeterminate, recovery.interrupted), (1, vec![run]));
    assert_eq!(rig.entries().iter().filter(|entry| entry.of == Some(asked)).count(), 1);
    rig.verify().unwrap();
    drop(ledger);
}

fn refusal(run: vocab::RunId, n: u64) -> ledger::Draft {
    ledger::Draft::new(Kind::Refusal).run(run).put("n", n)
}

/// Refused, told, cut, why.
type Gap = (u64, u64, u64, String);

/// Refusals by their number, whether they came late, and what `gap` counts behind them.
fn told(rig: &Rig) -> (Vec<(u64, bool)>, Vec<Gap>) {
    let (mut refusals, mut gaps) = (Vec::new(), Vec::new());
    for entry in rig.entries() {
        let uint = |key: &str| entry.body.get(key).and_then(|value| value.as_u64());
        match entry.kind {
            Some(Kind::Refusal) => refusals.push((uint("n").unwrap(), uint("late").is_some())),
            Some(Kind::Gap) => {
                let why = entry.body.get("why").unwrap().as_text().unwrap().to_owned();
                gaps.push((uint("refused").unwrap(), uint("told").unwrap(), uint("cut").unwrap(), why));
            }
            _ => {}
        }
    }
    (refusals, gaps)
}

#[test]
fn refusals_of_a_time_without_a_record_are_in_it_afterwards() {
    for seed in 0..20 {
        let rig = Rig::new(seed);
        let ledger = rig.open();
        let run = open_run(&ledger);
        let kept = ledger.refuse(refusal(run, 1)).unwrap();
        ledger.step_commit();
        settle(kept);
        // One that is lost on its way, with the intent that it answers, and one that finds no ledger at all.
        let asked = ledger.append(intent(run)).unwrap();
        let lost = ledger.refuse(refusal(run, 2).of(asked.seq())).unwrap();
        rig.disk.fail_sync(1);
        assert!(!ledger.step_commit());
        assert_eq!((asked.wait(), lost.wait()), (Err(Lost), Err(Lost)));
        assert!(matches!(ledger.refuse(refusal(run, 3)), Err(AppendError::Failed)));
        ledger.missed(Missed::Cut);
        ledger.step();
        ledger.step();
        let _ = ledger.checkpoint().unwrap();
        drop(ledger);
        rig.disk.power_failure();
        rig.verify().unwrap_or_else(|finding| panic!("seed {seed}: {finding}"));
        let (refusals, gaps) = told(&rig);
        let mut numbers = refusals.clone();
        numbers.sort_unstable();
        assert_eq!(numbers, [(1, false), (2, true), (3, true)], "{refusals:?}");
        assert_eq!(gaps, [(2, 2, 1, "sync-failed".to_owned())]);
    }
}

#[test]
fn what_a_stall_refused_or_cut_is_told_when_it_is_over() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let waits = ledger.append(intent(run)).unwrap();
    rig.clock.advance(limits::STALL_MILLIS + 1);
    assert_eq!(ledger.admit(), Err(NotAdmitted::Stalled));
    let queued = ledger.refuse(refusal(run, 1)).unwrap();
    ledger.missed(Missed::Cut);
    while ledger.step_commit() {}
    settle(waits);
    settle(queued);
    ledger.step();
    ledger.step();
    assert_eq!(told(&rig), (vec![(1, false)], vec![(0, 0, 1, "stalled".to_owned())]));
    rig.verify().unwrap();
}

#[test]
fn a_refusal_of_a_run_that_is_over_is_only_counted() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let (opening, receipt) = ledger.open_run(crate::harness::open_draft()).unwrap();
    rig.disk.fail_sync(1);
    assert!(!ledger.step_commit());
    assert_eq!(receipt.wait(), Err(Lost));
    assert!(matches!(ledger.refuse(refusal(opening, 1)), Err(AppendError::Failed)));
    ledger.step();
    ledger.step();
    assert_eq!(told(&rig), (vec![], vec![(1, 0, 0, "sync-failed".to_owned())]));
    rig.verify().unwrap();
}
