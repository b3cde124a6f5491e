//! Keys through a ledger's life: the ratchet, the epochs, the auditors, erasure.

use std::collections::BTreeSet;
use std::path::Path;

use ledger::keys::{GatewayKey, KeyError, RunKeys};
use ledger::read::Epochs;
use ledger::{Ended, Kind, Map, OpenError, PayloadPlain, RunError, limits};
use vocab::{Class, RunId};

use crate::harness::{KEYS, Rig, auditor, durable, entries, name, note, open_run, settle};

/// The wrapped key of a run, as it stands in the file.
fn wrapped_key(rig: &Rig, run: RunId) -> Vec<u8> {
    let content = rig.disk.content(&Path::new(KEYS).join("run-keys")).unwrap();
    let at = content.windows(16).position(|bytes| bytes == run.0).unwrap();
    content[at + 16..at + 76].to_vec()
}

/// Whether a secret is anywhere on the disk, with a name or without.
fn stands(rig: &Rig, secret: &[u8]) -> bool {
    rig.disk.blocks().iter().any(|block| block.windows(secret.len()).any(|bytes| bytes == secret))
}

fn checkpoint_key(rig: &Rig) -> Vec<u8> {
    rig.disk.content(&Path::new(KEYS).join("checkpoint.key")).unwrap()
}

#[test]
fn each_epoch_signs_with_the_next_key_and_erases_the_last() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let mut seeds = BTreeSet::from([checkpoint_key(&rig)]);
    for _ in 0..3 {
        rig.clock.advance(limits::EPOCH_MILLIS);
        ledger.step();
        ledger.step();
        ledger.step();
        let current = checkpoint_key(&rig);
        for path in rig.disk.files() {
            let content = rig.disk.content(&path).unwrap();
            let gone = seeds.iter().all(|seed| !content.windows(32).any(|bytes| bytes == seed));
            assert!(gone, "an old key is still in {}", path.display());
        }
        assert!(seeds.insert(current), "the key changed");
    }
    let _ = ledger.checkpoint().unwrap();
    assert_eq!(rig.verify().unwrap().rotations, 4);
}

#[test]
fn the_ratchet_survives_a_power_failure_at_each_of_its_steps() {
    let mut steps = 0;
    for seed in 0..20 {
        for cut in 0.. {
            let rig = Rig::new(seed);
            let ledger = rig.open();
            let old = checkpoint_key(&rig);
            let before = rig.disk.changes();
            rig.disk.cut_after(cut);
            ledger.step_epoch();
            ledger.step();
            ledger.step();
            let whole = rig.disk.changes() - before < cut;
            rig.disk.power_failure();
            drop(ledger);
            let (ledger, _) =
                rig.try_open().unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            assert!(!stands(&rig, &old), "seed {seed}, cut {cut}: an old key is still on the disk");
            let run = open_run(&ledger);
            durable(&ledger, note(run, 1));
            let _ = ledger.checkpoint().unwrap();
            rig.verify().unwrap_or_else(|finding| panic!("seed {seed}, cut {cut}: {finding}"));
            steps = steps.max(cut);
            if whole {
                break;
            }
        }
    }
    assert!(steps > 5, "{steps} steps");
}

#[test]
fn opening_survives_a_power_failure_at_each_of_its_steps() {
    for seed in 0..10 {
        for cut in 0.. {
            let rig = Rig::new(seed);
            if seed % 2 == 0 {
                let ledger = rig.open();
                drop(ledger.append(note(open_run(&ledger), 1)).unwrap());
                rig.disk.power_failure();
            }
            rig.disk.cut_after(cut);
            let whole = rig.try_open().is_ok();
            rig.disk.power_failure();
            let (_ledger, _) =
                rig.try_open().unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            rig.verify().unwrap_or_else(|finding| panic!("seed {seed}, cut {cut}: {finding}"));
            if whole {
                break;
            }
        }
    }
}

#[test]
fn a_lost_checkpoint_key_is_named() {
    let rig = Rig::new(1);
    drop(rig.open());
    rig.disk.put(&Path::new(KEYS).join("checkpoint.key"), &[7; 32]);
    assert!(matches!(rig.try_open(), Err(OpenError::CheckpointKeyGone { .. })));
}

#[test]
fn prints_are_equal_within_an_epoch_and_different_across() {
    let (alice, bob, mallory) = (auditor(), auditor(), auditor());
    let rig = Rig::new(1).with_auditors(&[&alice, &bob]);
    let ledger = rig.open();
    let run = open_run(&ledger);
    let (ssn, card) = (Class::new("pii.ssn").unwrap(), Class::new("pii.card").unwrap());
    let first = ledger.print(&ssn, b"078-05-1120");
    assert_eq!(first, ledger.print(&ssn, b"078-05-1120"));
    assert_ne!(first, ledger.print(&ssn, b"078-05-1121"));
    assert_ne!(first, ledger.print(&card, b"078-05-1120"));
    let early = durable(&ledger, note(run, 1).put("print", first));

    assert!(ledger.step_epoch());
    let pending = ledger.print(&ssn, b"078-05-1120");
    assert_eq!(pending, first, "the next key is not used before its record is durable");
    ledger.step();
    ledger.step();
    let second = ledger.print(&ssn, b"078-05-1120");
    assert_ne!(second, first);
    let late = durable(&ledger, note(run, 2).put("print", second));
    // Made before the epoch turned, appended after.
    let straggler = durable(&ledger, note(run, 3).put("print", first));

    for auditor in [&alice, &bob] {
        let mut epochs = Epochs::new();
        entries(&ledger.store()).iter().for_each(|entry| epochs.take(entry, ledger.origin(), auditor));
        let prints = |seq| epochs.prints(seq, &ssn, b"078-05-1120").unwrap();
        assert!(prints(early).contains(&first) && !prints(early).contains(&second));
        assert!(prints(late).contains(&second));
        assert!(prints(straggler).contains(&first));
    }
    let mut epochs = Epochs::new();
    entries(&ledger.store()).iter().for_each(|entry| epochs.take(entry, ledger.origin(), &mallory));
    assert_eq!(epochs.prints(early, &ssn, b"078-05-1120"), None, "a stolen disk cannot ask");
}

#[test]
fn two_auditors_and_the_gateway_open_a_run_and_nobody_once_it_is_erased() {
    let (alice, bob, mallory) = (auditor(), auditor(), auditor());
    let rig = Rig::new(1).with_auditors(&[&alice, &bob]);
    let ledger = rig.open();
    let (run, kept) = (open_run(&ledger), open_run(&ledger));
    for run in [run, kept] {
        durable(&ledger, note(run, 1).payload(PayloadPlain::new("rows", Map::new().put("n", 1u64))));
    }
    let store = ledger.store();
    let payload_of = |run| {
        entries(&store).into_iter().find(|entry| entry.run == Some(run) && entry.rseq == Some(1)).unwrap()
    };
    let load = || RunKeys::load(&rig.disk, Path::new(KEYS)).unwrap();
    let gateway = GatewayKey::load(&rig.disk, Path::new(KEYS)).unwrap();
    let open = |run| {
        let keys = load();
        [
            gateway.open_run(store.origin(), &keys, run),
            alice.open_run(store.origin(), &keys, run),
            bob.open_run(store.origin(), &keys, run),
        ]
    };
    for key in open(run) {
        let plain = store.open_payload(&payload_of(run).payloads[0], &key.unwrap()).unwrap();
        assert_eq!(plain.get("n").unwrap().as_u64(), Some(1));
    }
    assert!(mallory.open_run(store.origin(), &load(), run).is_err());

    assert!(matches!(ledger.erase_run(run, name("carol"), "asked"), Err(RunError::StillOpen)));
    let closed = ledger.close_run(run, Ended::Exited, None).unwrap();
    ledger.step_commit();
    settle(closed);
    ledger.erase_run(run, name("carol"), "asked").unwrap();
    assert!(open(run).iter().all(|key| matches!(key, Err(KeyError::Erased(_)))));
    assert!(open(kept).iter().all(Result::is_ok));
    let tombstone = entries(&store).into_iter().find(|entry| entry.kind == Some(Kind::Tombstone)).unwrap();
    assert_eq!(tombstone.body.get("subject").unwrap().as_bytes(), Some(&run.0[..]));
    let _ = ledger.checkpoint().unwrap();
    rig.verify().unwrap();
}

#[test]
fn an_erasure_that_a_crash_interrupts_is_finished_at_the_next_opening() {
    let mut interrupted = 0;
    for seed in 0..10 {
        for cut in 0..20 {
            let rig = Rig::new(seed);
            let ledger = rig.open();
            let (run, kept) = (open_run(&ledger), open_run(&ledger));
            let closed = ledger.close_run(run, Ended::Exited, None).unwrap();
            ledger.step_commit();
            settle(closed);
            let wrapped = wrapped_key(&rig, run);
            rig.disk.cut_after(cut);
            let erased = ledger.erase_run(run, name("carol"), "asked").is_ok();
            rig.disk.power_failure();
            drop(ledger);
            let _ledger = rig.open();
            let promised = rig.entries().iter().any(|entry| entry.kind == Some(Kind::Tombstone));
            let keys = RunKeys::load(&rig.disk, Path::new(KEYS)).unwrap();
            let runs: Vec<_> = keys.runs().collect();
            assert_eq!(runs.contains(&run), !promised, "seed {seed}, cut {cut}");
            assert!(runs.contains(&kept), "seed {seed}, cut {cut}");
            assert!(promised || !erased);
            assert!(
                !promised || !stands(&rig, &wrapped),
                "seed {seed}, cut {cut}: the key is still on the disk"
            );
            interrupted += usize::from(promised && !erased);
        }
    }
    assert!(interrupted > 0);
}
