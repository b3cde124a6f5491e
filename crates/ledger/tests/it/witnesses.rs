//! What witnesses are shown: each proof holds, each key is followed, and what they gave back is kept.

use ledger::{Checkpointed, Ledger, ProofError};
use seal::note::{Standing, VerifierKey};
use seal::testkit::Writer;
use seal::witness::{Submission, Watched};
use std::path::Path;

use crate::harness::{DIR, Rig, verify};
use crate::tiles::grow;

/// What a gateway sends when it knows what the witness has; the key that the checkpoint was signed with is followed.
fn show(ledger: &Ledger, watched: &mut Watched) {
    for turn in ledger.turns(watched.size) {
        let note = &turn.checkpoint;
        if note.note.verify(&watched.key) != Standing::Good {
            continue;
        }
        *watched = watched.advanced(&submission(ledger, watched.size, note)).unwrap();
        let asked = ledger.succession(&turn, watched.size).unwrap();
        *watched = watched.succeeded(&asked).unwrap();
    }
    let newest = ledger.shown().unwrap();
    *watched = watched.advanced(&submission(ledger, watched.size, &newest)).unwrap();
    assert_eq!(watched.size, newest.size);
}

fn submission(ledger: &Ledger, old: u64, to: &Checkpointed) -> Submission {
    let root = to.note.checkpoint().unwrap().root;
    Submission::new(old, ledger.consistency(old, to.size, &root).unwrap(), to.note.clone()).unwrap()
}

fn first_key(rig: &Rig) -> VerifierKey {
    let genesis = &rig.entries()[0];
    VerifierKey::parse(genesis.body.get("key").unwrap().as_text().unwrap()).unwrap()
}

#[test]
fn a_witness_follows_a_ledger_through_epochs_and_restarts() {
    let rig = Rig::new(1);
    let mut ledger = rig.open();
    ledger.step();
    let mut watched = Watched::new(first_key(&rig));
    for (round, records) in [3, 260, 1, 700, 90, 513, 2].into_iter().enumerate() {
        grow(&ledger, &rig, records);
        // A witness that was away for some rounds catches up.
        if round != 2 && round != 3 {
            show(&ledger, &mut watched);
        }
        match round % 3 {
            0 => assert!(ledger.step_epoch()),
            1 => {
                ledger.shutdown("test").unwrap();
                ledger = rig.open();
            }
            _ => drop(ledger.checkpoint().unwrap()),
        }
        ledger.step();
    }
    grow(&ledger, &rig, 5);
    show(&ledger, &mut watched);
    assert!(watched.key_seq > 0);
    assert_eq!(rig.verify().unwrap().root, ledger.root_at(ledger.status().records).unwrap());
}

#[test]
fn the_last_checkpoint_is_shown_when_the_ledger_ends() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    grow(&ledger, &rig, 5);
    let same = ledger.clone();
    ledger.shutdown("test").unwrap();
    let shown = same.shown().unwrap();
    assert_eq!(shown.size, rig.verify().unwrap().records);
    assert_eq!(rig.held_checkpoint().unwrap().unwrap().checkpoint.size, shown.size);
}

#[test]
fn a_turn_that_a_crash_left_half_done_is_followed() {
    let rig = Rig::new(3);
    let ledger = rig.open();
    let mut watched = Watched::new(first_key(&rig));
    grow(&ledger, &rig, 4);
    show(&ledger, &mut watched);
    assert!(ledger.step_epoch());
    drop(ledger);
    rig.disk.kill();
    let ledger = rig.open();
    grow(&ledger, &rig, 4);
    show(&ledger, &mut watched);
}

#[test]
fn a_proof_is_not_made_of_damaged_tiles() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    grow(&ledger, &rig, 600);
    let shown = ledger.shown().unwrap();
    let root = shown.note.checkpoint().unwrap().root;
    assert!(ledger.consistency(100, shown.size, &root).is_ok());
    assert!(matches!(ledger.consistency(shown.size, shown.size + 1, &root), Err(ProofError::OutOfRange)));
    let tile = Path::new(DIR).join("tile/0/000");
    let mut bytes = rig.disk.content(&tile).unwrap();
    bytes[40] ^= 1;
    rig.disk.put(&tile, &bytes);
    assert!(matches!(ledger.consistency(100, shown.size, &root), Err(ProofError::Damaged)));
}

#[test]
fn a_cosignature_is_kept_and_the_verifier_counts_it() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    grow(&ledger, &rig, 20);
    let witness = Writer::witness("w.example");
    let key = witness.verifier_key();
    let mut shown = ledger.shown().unwrap();
    shown.note.push(witness.cosign(&shown.note, 1_800_000_000));
    assert_eq!(ledger.cosigned(key), None);
    ledger.keep_cosigned(key, &shown).unwrap();
    assert_eq!(ledger.cosigned(key), Some(shown.clone()));
    // The same checkpoint in the file for tools, until the next one is published.
    let copy = rig.held_checkpoint().unwrap().unwrap();
    assert_eq!(copy.note.verify(key), Standing::Good);
    grow(&ledger, &rig, 20);
    assert_eq!(rig.held_checkpoint().unwrap().unwrap().note.verify(key), Standing::Absent);
    let path = Path::new(DIR).join("witness").join(format!("{:08x}", key.hash()));
    let kept = seal::verify::Known::parse(&rig.disk.content(&path).unwrap()).unwrap();
    let options =
        seal::verify::Options { witnesses: vec![key.clone()], known: vec![kept], ..Default::default() };
    let report = verify(&rig.segments(), options).unwrap();
    assert_eq!(report.witnessed.unwrap().size, shown.size);
    // An answer that comes late does not replace a newer one.
    let mut older = ledger.shown().unwrap();
    older.size = 1;
    ledger.keep_cosigned(key, &older).unwrap();
    assert_eq!(ledger.cosigned(key), Some(shown));
}
