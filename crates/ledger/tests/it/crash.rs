//! Power failures at every kind of moment, thousands of them, each decided by a seed. The oracle: what was
//! acknowledged is there and unchanged, the ledger opens by itself, it verifies, and it continues every checkpoint
//! that was ever published. The same runs over a disk whose syncs do nothing must fail: that is what proves the test.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use ledger::sim::Rng;
use ledger::{AppendError, Ended, Kind, Ledger, Map, PayloadPlain, Receipt, RunError};
use seal::cbor::Value;
use seal::verify::{Known, Options};
use vocab::{Durability, RunId, Seq};

use crate::harness::{Rig, intent, note, open_draft, outcome, verify};

/// Each seed is a few lives. `LEDGER_SEEDS` asks for more than what fits into every run of the tests.
fn seeds() -> u64 {
    std::env::var("LEDGER_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
}

/// What a test knows that the ledger has promised.
#[derive(Default)]
struct Oracle {
    /// The marker of every record that was acknowledged, by its place.
    acknowledged: BTreeMap<u64, u64>,
    waiting: Vec<(Receipt, u64)>,
    held: Vec<Known>,
    marker: u64,
}

impl Oracle {
    fn mark(&mut self) -> u64 {
        self.marker += 1;
        self.marker
    }

    fn wait_for(&mut self, receipt: Receipt, marker: u64) {
        self.waiting.push((receipt, marker));
    }

    fn collect(&mut self, rig: &Rig) -> Result<(), String> {
        let mut waiting = Vec::new();
        for (receipt, marker) in self.waiting.drain(..) {
            match receipt.peek() {
                Some(Ok(())) => {
                    self.acknowledged.insert(receipt.seq().0, marker);
                }
                Some(Err(_)) => {}
                None => waiting.push((receipt, marker)),
            }
        }
        self.waiting = waiting;
        if let Some(held) = rig.held_checkpoint()?
            && self.held.last().is_none_or(|last| last.checkpoint != held.checkpoint)
        {
            self.held.push(held);
        }
        Ok(())
    }

    fn check(&self, rig: &Rig) -> Result<(), String> {
        let report = verify(&rig.segments(), Options { known: self.held.clone(), ..Options::default() })
            .map_err(|finding| format!("does not verify: {finding}"))?;
        if report.known != self.held.len() as u64 {
            return Err("a published checkpoint is not continued".to_owned());
        }
        let found: BTreeMap<u64, Option<u64>> = rig
            .entries()
            .iter()
            .map(|entry| (entry.seq.0, entry.body.get("n").and_then(Value::as_u64)))
            .collect();
        for (seq, marker) in &self.acknowledged {
            match found.get(seq) {
                None => return Err(format!("record {seq} was acknowledged and is lost")),
                Some(found) if *found != Some(*marker) => {
                    return Err(format!("record {seq} was acknowledged with {marker} and is {found:?}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// One random action. An error of the ledger's is an answer, not a failure of the test.
fn act(ledger: &Ledger, rig: &Rig, rng: &mut Rng, runs: &mut Vec<RunId>, oracle: &mut Oracle) {
    let run = runs.get(rng.below(runs.len())).copied();
    match (rng.below(16), run) {
        (0, _) => {
            let marker = oracle.mark();
            if let Ok((run, receipt)) = ledger.open_run(open_draft().put("n", marker)) {
                runs.push(run);
                oracle.wait_for(receipt, marker);
            }
        }
        (1, Some(run)) => {
            if let Ok(receipt) = ledger.close_run(run, Ended::Exited, Some(0)) {
                runs.retain(|open| *open != run);
                drop(receipt);
            }
        }
        (2..=4, Some(run)) => {
            let marker = oracle.mark();
            if let Ok(receipt) = ledger.append(intent(run).put("n", marker)) {
                oracle.wait_for(receipt, marker);
            }
        }
        (5, Some(run)) => {
            let marker = oracle.mark();
            let of = Seq(ledger.status().durable.saturating_sub(1));
            if let Ok(receipt) = ledger.append(outcome(run, of).put("n", marker)) {
                oracle.wait_for(receipt, marker);
            }
        }
        (6..=7, Some(run)) => {
            let marker = oracle.mark();
            let rows = Map::new().put("rows", vec![vec![marker; rng.below(300)]]);
            let draft = note(run, marker).payload(PayloadPlain::new("rows", rows));
            if let Ok(receipt) = ledger.append(draft) {
                oracle.wait_for(receipt, marker);
            }
        }
        (8, _) => rig.clock.advance(rng.below(3_000) as u64),
        (9, _) => {
            ledger.step_epoch();
        }
        (10..=13, _) => {
            ledger.step_commit();
        }
        _ => {
            ledger.step();
        }
    }
}

/// How a life ends, and what happens before.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Power,
    Kill,
    FaultsAndPower,
}

/// Now and then a sync or a write fails, or the disk is full for a while.
fn inject(rig: &Rig, rng: &mut Rng) {
    match rng.below(40) {
        0 => rig.disk.fail_sync(1 + rng.below(6) as u64),
        1 => rig.disk.fail_write(1 + rng.below(6) as u64, ErrorKind::StorageFull),
        2 => rig.disk.fail_write(1 + rng.below(6) as u64, ErrorKind::Other),
        3 => rig.disk.set_capacity(Some(20_000 + rng.below(100_000) as u64)),
        4..=6 => rig.disk.set_capacity(None),
        _ => {}
    }
}

/// A few lives of a gateway, each ended by a power failure or a kill at a random change of the disk.
fn lives(rig: &Rig, seed: u64, end: End) -> Result<Oracle, String> {
    let mut rng = Rng(seed);
    let mut oracle = Oracle::default();
    for _ in 0..1 + rng.below(3) {
        rig.disk.cut_after(rng.below(190) as u64);
        if let Ok((ledger, _)) = rig.try_open() {
            let mut runs = Vec::new();
            for _ in 0..rng.below(120) {
                if end == End::FaultsAndPower {
                    inject(rig, &mut rng);
                }
                act(&ledger, rig, &mut rng, &mut runs, &mut oracle);
                oracle.collect(rig)?;
            }
        }
        oracle.waiting.clear();
        match end {
            End::Kill => rig.disk.kill(),
            End::Power | End::FaultsAndPower => rig.disk.power_failure(),
        }
    }
    rig.disk.set_capacity(None);
    let (ledger, recovery) = rig.try_open().map_err(|error| format!("does not open again: {error}"))?;
    for run in &recovery.interrupted {
        if !matches!(ledger.append(note(*run, 0)), Err(AppendError::RunEnded)) {
            return Err("an interrupted run goes on".to_owned());
        }
    }
    oracle.check(rig)?;
    check_settled(rig)?;
    Ok(oracle)
}

/// After recovery no run is open and no intent without an outcome.
fn check_settled(rig: &Rig) -> Result<(), String> {
    let mut intents: BTreeMap<u64, RunId> = BTreeMap::new();
    let mut ended = Vec::new();
    for entry in rig.entries() {
        match entry.kind {
            Some(Kind::Intent) => {
                intents.insert(entry.seq.0, entry.run.unwrap());
            }
            Some(Kind::Outcome) => {
                intents.remove(&entry.of.unwrap().0);
            }
            Some(Kind::Open) => ended.push((entry.run.unwrap(), false)),
            Some(Kind::Close) if entry.body.get("why").and_then(Value::as_text) == Some("interrupted") => {
                let run = entry.run.unwrap();
                if let Some((seq, _)) = intents.iter().find(|(_, of)| **of == run) {
                    return Err(format!("intent {seq} of interrupted run {run} has no outcome"));
                }
                ended.iter_mut().filter(|(of, _)| *of == run).for_each(|(_, done)| *done = true);
            }
            Some(Kind::Close) => {
                let run = entry.run.unwrap();
                ended.iter_mut().filter(|(of, _)| *of == run).for_each(|(_, done)| *done = true);
            }
            _ => {}
        }
    }
    match ended.iter().find(|(_, done)| !done) {
        Some((run, _)) => Err(format!("run {run} is still open")),
        None => Ok(()),
    }
}

#[test]
fn nothing_acknowledged_is_lost_in_a_power_failure() {
    let (mut acknowledged, mut held) = (0, 0);
    for seed in 0..seeds() {
        let rig = Rig::new(seed);
        let oracle = lives(&rig, seed, End::Power).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        acknowledged += oracle.acknowledged.len();
        held += oracle.held.len();
    }
    // The test has teeth only if promises were made.
    assert!(acknowledged > 10 * seeds() as usize, "{acknowledged} acknowledged");
    assert!(held > seeds() as usize / 4, "{held} checkpoints held");
}

#[test]
fn nothing_acknowledged_is_lost_when_syncs_and_writes_fail() {
    let mut gaps = 0;
    for seed in 0..seeds() / 2 {
        let rig = Rig::new(seed);
        lives(&rig, seed, End::FaultsAndPower).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        gaps += rig.entries().iter().filter(|entry| entry.kind == Some(Kind::Gap)).count();
    }
    assert!(gaps > 20, "{gaps} repairs only");
}

#[test]
fn a_disk_that_lies_about_syncs_is_caught() {
    let caught = (0..200u64).filter(|seed| {
        let rig = Rig::new(*seed);
        rig.disk.lie_about_syncs();
        lives(&rig, *seed, End::Power).is_err()
    });
    let caught = caught.count();
    assert!(caught > 100, "a mutant without syncs was caught for {caught} of 200 seeds only");
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    for seed in 0..seeds() / 8 {
        for durability in [Durability::Sync, Durability::Os] {
            let mut rig = Rig::new(seed);
            rig.config.durability = durability;
            lives(&rig, seed, End::Kill).unwrap_or_else(|why| panic!("seed {seed}, {durability:?}: {why}"));
        }
    }
}

/// With `os` a power failure may lose what was acknowledged, but never the ledger: it opens, it verifies, and every
/// published checkpoint is continued.
#[test]
fn with_os_durability_a_power_failure_never_makes_a_hole() {
    let mut lost = 0;
    for seed in 0..seeds() / 4 {
        let mut rig = Rig::new(seed);
        rig.config.durability = Durability::Os;
        match lives(&rig, seed, End::Power) {
            Ok(_) => {}
            Err(why) if why.contains("was acknowledged") => lost += 1,
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert!(lost > 0, "if nothing is ever lost, this test does not reach what it is for");
}

#[test]
fn too_many_runs_and_unknown_runs_are_refused() {
    let rig = Rig::new(1);
    let ledger = rig.open();
    let unknown = ledger.append(note(RunId([9; 16]), 1));
    assert!(matches!(unknown, Err(AppendError::RunEnded)));
    let wrong = ledger.open_run(note(RunId([9; 16]), 1));
    assert!(matches!(wrong, Err(RunError::Append(AppendError::Malformed(_)))));
}
