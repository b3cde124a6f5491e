//! What `append`, runs, receipts, budgets and the cursor promise.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use ledger::keys::{GatewayKey, RunKeys};
use ledger::read::{Item, Store};
use ledger::{
    AppendError, Config, Draft, Ended, Kind, Ledger, Map, NotAdmitted, OpenError, PayloadPlain, RealDisk,
    SystemClock, SystemRandom, limits,
};
use seal::cbor::Value;
use vocab::{Durability, RunId, Seq};

use crate::harness::{
    DIR, KEYS, Rig, Scratch, durable, entries, intent, name, note, open_draft, open_run, outcome,
    segments_in, settle, verify, verify_py,
};

#[test]
fn a_run_is_a_chain_from_open_to_close() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let asked = durable(&ledger, intent(run));
    durable(&ledger, outcome(run, asked));
    let closed = ledger.close_run(run, Ended::Exited, Some(0)).unwrap();
    ledger.step_commit();
    settle(closed);
    assert!(matches!(ledger.append(intent(run)), Err(AppendError::RunEnded)));
    assert!(matches!(ledger.close_run(run, Ended::Exited, None), Err(AppendError::RunEnded)));

    let entries = rig.entries();
    let of_run: Vec<_> = entries.iter().filter(|entry| entry.run == Some(run)).collect();
    let kinds: Vec<Kind> = of_run.iter().filter_map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Open, Kind::Intent, Kind::Outcome, Kind::Close]);
    assert_eq!(of_run.iter().map(|entry| entry.rseq.unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(of_run[2].of, Some(asked));
    assert_eq!(of_run[3].body.get("count").unwrap().as_u64(), Some(3));
    let leaves: Vec<_> = of_run[..3].iter().map(|entry| entry.leaf).collect();
    let root = seal::tree::Frontier::from_leaves(&leaves).root();
    assert_eq!(of_run[3].body.get("root").unwrap().as_bytes(), Some(&root[..]));
    let report = rig.verify().unwrap();
    assert_eq!((report.open, report.open_runs), (0, 0), "a close has its checkpoint");
}

#[test]
fn a_first_opening_writes_what_the_format_asks_for() {
    let rig = Rig::new(1);
    let (ledger, recovery) = rig.try_open().unwrap();
    assert!(recovery.fresh);
    assert_eq!(recovery.origin, "test/ledger");
    let kinds: Vec<Kind> = rig.entries().iter().filter_map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Genesis, Kind::Start, Kind::Epoch]);
    assert_eq!(ledger.status().records, 3);
    rig.verify().unwrap();
}

#[test]
fn a_receipt_is_pending_until_the_committer_has_synced() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let mut receipt = ledger.append(note(run, 1)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut receipt).poll(&mut context).is_pending());
    ledger.step_commit();
    let Poll::Ready(Ok(durable)) = Pin::new(&mut receipt).poll(&mut context) else { panic!("not durable") };
    assert_eq!((durable.seq(), durable.durability()), (receipt.seq(), Durability::Sync));
}

#[test]
fn drafts_that_cannot_be_evidence_are_refused() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let malformed = |draft| matches!(ledger.append(draft), Err(AppendError::Malformed(_)));
    assert!(malformed(Draft::new(Kind::Close).run(run)), "the ledger alone writes `close`");
    assert!(malformed(Draft::new(Kind::Genesis)));
    assert!(malformed(Draft::new(Kind::Intent)), "no run");
    assert!(malformed(Draft::new(Kind::Watch).run(run)), "a run where none belongs");
    assert!(malformed(note(run, 1).put("n", 2u64)), "a field twice");
    assert!(malformed(outcome(run, Seq(1_000))), "an answer to the future");
    let payload = || PayloadPlain::new("rows", Map::new());
    assert!(malformed(Draft::new(Kind::Watch).payload(payload())), "a payload without a run");

    let before = ledger.status().records;
    let large = |bytes: usize| note(run, 1).put("list", vec![true; bytes]);
    assert!(matches!(ledger.append(large(limits::RECORD_BYTES_MAX)), Err(AppendError::TooLarge)));
    let four = (0..=limits::PAYLOADS_MAX).fold(note(run, 1), |draft, _| draft.payload(payload()));
    assert!(matches!(ledger.append(four), Err(AppendError::TooLarge)));
    assert_eq!(ledger.status().records, before, "no number was spent");
}

#[test]
fn nesting_ends_at_the_limit() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let nested = |levels: u8| (1..levels).fold(Map::new(), |inner, _| Map::new().put("m", inner));
    // Around it stand the record and its body.
    durable(&ledger, note(run, 1).put("m", nested(limits::RECORD_DEPTH_MAX - 2)));
    let deeper = note(run, 1).put("m", nested(limits::RECORD_DEPTH_MAX - 1));
    assert!(matches!(ledger.append(deeper), Err(AppendError::TooLarge)));
    rig.verify().unwrap();
}

#[test]
fn a_run_over_its_budget_ends_alone() {
    let mut rig = Rig::new(1);
    rig.config.run_records_max = 10;
    let ledger = rig.open();
    let (greedy, modest) = (open_run(&ledger), open_run(&ledger));
    let mut last = Seq(0);
    let refused = loop {
        match ledger.append(intent(greedy)) {
            Ok(receipt) => {
                ledger.step_commit();
                last = settle(receipt);
            }
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::OverBudget);
    durable(&ledger, outcome(greedy, last)); // what was begun may be finished
    durable(&ledger, intent(modest));
    let closed = ledger.close_run(greedy, Ended::Revoked, None).unwrap();
    ledger.step_commit();
    settle(closed);
    rig.verify().unwrap();
}

#[test]
fn nothing_new_is_admitted_while_the_disk_stalls() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let stuck = ledger.append(intent(run)).unwrap();
    rig.clock.advance(limits::STALL_MILLIS);
    assert_eq!(ledger.admit(), Ok(()));
    rig.clock.advance(1);
    assert_eq!(ledger.admit(), Err(NotAdmitted::Stalled));
    assert!(matches!(ledger.append(intent(run)), Err(AppendError::NotAdmitted(NotAdmitted::Stalled))));
    let finishing = ledger.append(outcome(run, Seq(1))).unwrap();
    ledger.step_commit();
    settle(stuck);
    settle(finishing);
    assert_eq!(ledger.admit(), Ok(()));
}

#[test]
fn silence_is_broken_every_ten_seconds() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    for _ in 0..25 {
        rig.clock.advance(1_000);
        ledger.step();
    }
    ledger.step();
    let beats = rig.entries().iter().filter(|entry| entry.kind == Some(Kind::Heartbeat)).count();
    assert_eq!(beats, 2);
}

#[test]
fn a_checkpoint_comes_each_second_and_on_demand() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    durable(&ledger, note(run, 1));
    assert_eq!(rig.verify().unwrap().open, 2);
    rig.clock.advance(1_001);
    ledger.step_commit();
    assert_eq!(rig.verify().unwrap().open, 0);
    drop(ledger.append(note(run, 2)).unwrap());
    let checkpoint = ledger.checkpoint().unwrap();
    assert_eq!(checkpoint.size, ledger.status().records);
    assert_eq!(checkpoint.note.checkpoint().unwrap().root, rig.verify().unwrap().root);
}

#[test]
fn payloads_open_with_the_gateways_key_and_hide_from_others() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let (run, other) = (open_run(&ledger), open_run(&ledger));
    let (opening, commitment) = ledger.commitment(b"select secret").unwrap();
    let payload = opening.into_payload("asked", Map::new().put("statement", "select ?"));
    let seq = durable(&ledger, intent(run).put("asked", commitment).payload(payload));
    let store = ledger.store();
    let entry = entries(&store).into_iter().find(|entry| entry.seq == seq).unwrap();

    let keys = RunKeys::load(&rig.disk, Path::new(KEYS)).unwrap();
    let gateway = GatewayKey::load(&rig.disk, Path::new(KEYS)).unwrap();
    let key = gateway.open_run(store.origin(), &keys, run).unwrap();
    let plain = store.open_payload(&entry.payloads[0], &key).unwrap();
    let opening: [u8; 32] = plain.get("open").unwrap().as_bytes_of().unwrap();
    let expect = seal::payload::commitment(&opening, b"select secret");
    assert_eq!(entry.body.get("asked").unwrap().as_bytes(), Some(&expect[..]));
    let other = gateway.open_run(store.origin(), &keys, other).unwrap();
    assert!(store.open_payload(&entry.payloads[0], &other).is_err());
    for (_, segment) in rig.segments() {
        assert!(!segment.windows(8).any(|bytes| bytes == b"select ?"), "the reel is encrypted");
    }
}

#[test]
fn a_cursor_goes_on_where_it_was_and_finds_each_record_again() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let store = ledger.store();
    let mut cursor = store.cursor();
    while cursor.next_item().unwrap().is_some() {}
    drop(ledger.append(note(run, 7)).unwrap());
    assert!(cursor.next_entry().unwrap().is_none(), "nothing that is not durable is read");
    for n in 0..400 {
        durable(&ledger, note(run, n).payload(PayloadPlain::new("rows", Map::new().put("n", n))));
        ledger.step();
    }
    assert!(rig.segments().len() > 3);
    let mut resumed = store.cursor_at(cursor.position());
    let (mut records, mut checkpoints) = (0, 0);
    while let Some(item) = resumed.next_item().unwrap() {
        match item {
            Item::Record(entry) => {
                assert_eq!(store.entry(entry.position).unwrap().bytes, entry.bytes);
                entry.payloads.iter().for_each(|at| drop(store.ciphertext(at).unwrap()));
                records += u64::from(entry.kind == Some(Kind::Note));
            }
            Item::Checkpoint(..) => checkpoints += 1,
        }
    }
    assert_eq!((records, resumed.torn()), (401, None));
    assert!(checkpoints <= 1, "400 notes at a standing clock need none: {checkpoints}");
    let seqs: Vec<u64> = entries(&store).iter().map(|entry| entry.seq.0).collect();
    assert_eq!(seqs, (0..seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn two_gateways_never_share_a_ledger() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    assert!(matches!(rig.try_open(), Err(OpenError::Locked(_))));
    drop(ledger);
    drop(rig.open());
}

#[test]
fn wrong_configurations_are_refused() {
    let refused = |change: fn(&mut Config)| {
        let mut rig = Rig::new(1);
        change(&mut rig.config);
        matches!(rig.try_open(), Err(OpenError::Config(_)))
    };
    assert!(refused(|config| config.segment_bytes = limits::SEGMENT_BYTES_MIN - 1));
    assert!(refused(|config| config.segment_bytes = limits::SEGMENT_BYTES_MAX + 1));
    assert!(refused(|config| config.keys = Path::new(DIR).join("keys")));
    assert!(refused(|config| config.origin = Some("two words".to_owned())));
    assert!(refused(|config| config.origin = Some("gate\u{202e}way".to_owned())));
    assert!(refused(|config| config.version = "line\nbreak".to_owned()));
    assert!(refused(|config| config.auditors = vec![ledger::AuditorKey::from_bytes([1; 32]); 9]));

    let rig = Rig::new(1);
    drop(rig.open());
    let mut other = rig;
    other.config.origin = Some("another/ledger".to_owned());
    assert!(matches!(other.try_open(), Err(OpenError::Origin { .. })));
}

#[test]
fn a_ledger_that_is_gone_is_not_begun_anew_beside_its_keys() {
    let rig = Rig::new(1);
    drop(rig.open());
    for (number, _) in rig.segments() {
        let path = Path::new(DIR).join(format!("segment/{number:010}.seg"));
        ledger::Disk::remove(&rig.disk, &path).unwrap();
    }
    let path = Path::new(DIR).join("checkpoint");
    let _ = ledger::Disk::remove(&rig.disk, &path);
    assert!(matches!(rig.try_open(), Err(OpenError::LedgerGone { .. })));
}

#[test]
fn a_clean_end_leaves_nothing_to_recover() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let closed = ledger.close_run(run, Ended::Exited, None).unwrap();
    ledger.shutdown("asked").unwrap();
    settle(closed);
    let (_ledger, recovery) = rig.try_open().unwrap();
    assert_eq!((recovery.torn, recovery.indeterminate, recovery.interrupted), (0, 0, vec![]));
    assert_eq!(recovery.records, 6);
    rig.verify().unwrap();
}

#[test]
fn writers_on_threads_and_a_real_disk_leave_a_ledger_that_both_verifiers_accept() {
    let scratch = Scratch::new("threads");
    for (durability, round) in [(Durability::Sync, 0), (Durability::Os, 1), (Durability::Sync, 2)] {
        let mut config = Config::new(scratch.0.join("ledger"), scratch.0.join("keys"), "test");
        config.segment_bytes = 256 << 10;
        config.durability = durability;
        let (ledger, recovery) =
            Ledger::open(config, RealDisk, SystemClock::new(), SystemRandom::new()).unwrap();
        assert_eq!((recovery.fresh, recovery.interrupted.len()), (round == 0, 0));
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let ledger = ledger.clone();
                std::thread::spawn(move || write_a_run(&ledger))
            })
            .collect();
        let runs: Vec<RunId> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
        assert_eq!(ledger.status().runs_open, 0);
        ledger.shutdown("test").unwrap();
        let segments = segments_in(&scratch.0.join("ledger"));
        let report = verify(&segments, Default::default()).unwrap();
        assert_eq!((report.runs, report.open), (8 * (round + 1), 0));
        let store = Store::open(&scratch.0.join("ledger")).unwrap();
        let entries = entries(&store);
        for run in runs {
            assert_eq!(entries.iter().filter(|entry| entry.run == Some(run)).count(), 102);
        }
    }
    if let Some((code, text)) = verify_py(&scratch.0.join("ledger")) {
        assert_eq!(code, 0, "{text}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(scratch.0.join("ledger")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}

/// `open`, 100 notes, `close`, waiting for each.
fn write_a_run(ledger: &Ledger) -> RunId {
    let retry = |attempt: &dyn Fn() -> Result<ledger::Receipt, AppendError>| loop {
        match attempt() {
            Ok(receipt) => return settle(receipt),
            // Segments this small are used up faster than they are prepared.
            Err(AppendError::Full | AppendError::NotAdmitted(NotAdmitted::Preparing)) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
    };
    let (run, receipt) = loop {
        match ledger.open_run(open_draft().put("version", name("1"))) {
            Ok(opened) => break opened,
            Err(ledger::RunError::Append(AppendError::NotAdmitted(NotAdmitted::Preparing))) => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(error) => panic!("{error}"),
        }
    };
    settle(receipt);
    for n in 0..100 {
        retry(&|| ledger.append(note(run, n)));
    }
    retry(&|| ledger.close_run(run, Ended::Exited, Some(0)));
    run
}

#[test]
fn every_recordable_is_canonical_to_the_seal() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let draft = note(run, u64::MAX)
        .put("i", i64::MIN)
        .put("flag", false)
        .put("none", None::<u64>)
        .put("pairs", vec![("a", 1u64), ("b", 2u64)])
        .put("path", vocab::ResourcePath::root("crm").join("a/b"))
        .put("code", ledger::Code::new(*b"42501").unwrap())
        .put("client", "127.0.0.1:5432".parse::<std::net::SocketAddr>().unwrap())
        .put("masked", mask::text(&mask::Detectors::new(), "mail bob@example.com").0)
        .put("map", Map::new().put("zz", 1u64).put("a", 2u64));
    let seq = durable(&ledger, draft);
    let entry = rig.entries().into_iter().find(|entry| entry.seq == seq).unwrap();
    assert_eq!(entry.body.get("i"), Some(&Value::Neg(i64::MIN)));
    assert_eq!(entry.body.get("none"), Some(&Value::Null));
    assert!(!entry.body.get("masked").unwrap().as_text().unwrap().contains("bob@"));
    rig.verify().unwrap();
}

#[test]
fn a_ledgers_first_segment_is_small_and_admits_before_there_is_a_spare() {
    let mut rig = Rig::new(1);
    rig.config.segment_bytes = 2 * limits::FIRST_SEGMENT_BYTES_MAX;
    let ledger = rig.open();
    let sizes = || rig.segments().iter().map(|(_, bytes)| bytes.len() as u64).collect::<Vec<_>>();
    assert_eq!(sizes(), [limits::FIRST_SEGMENT_BYTES_MAX]);
    assert!(!ledger.status().spare);
    let run = open_run(&ledger);
    let large = |n| note(run, n).put("list", vec![true; 60_000]);
    // Half of it is admitted to without a spare, and no more: the rest is for what must still be said.
    let mut n = 0;
    while ledger.admit().is_ok() {
        drop(ledger.append(large(n)).unwrap());
        ledger.step_commit();
        n += 1;
    }
    assert_eq!(ledger.admit(), Err(NotAdmitted::Preparing));
    let half = limits::FIRST_SEGMENT_BYTES_MAX / 2 / 60_000;
    assert!((half - 5..=half + 1).contains(&n), "{n} of {half}");
    // With one, everything goes on, and the next segment has the configured size.
    ledger.step();
    for n in 0..150 {
        drop(ledger.append(large(n)).unwrap());
        ledger.step_commit();
    }
    assert_eq!(sizes(), [limits::FIRST_SEGMENT_BYTES_MAX, rig.config.segment_bytes]);
    rig.verify().unwrap();
    rig.disk.kill();
    drop(ledger);
    let (ledger, recovery) = rig.try_open().unwrap();
    assert_eq!((recovery.torn, recovery.interrupted.len()), (0, 1));
    ledger.shutdown("asked").unwrap();
    rig.verify().unwrap();
}
