//! The record itself: it verifies, two verifiers agree, and it survives a crash without a gap (P1).

use crate::world::{agent, json, newest_run, own, seed, upstream};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use interop::programs;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// What the verifier of ours and the one in Python say of a path.
fn verdicts(path: &Path) -> [Finished; 2] {
    let mut ours = Command::new(programs::verifier().unwrap());
    let mut python = Command::new("/usr/bin/python3");
    python.arg(programs::source("contrib/verify.py"));
    [ours.arg(path), python.arg(path)].map(|command| finish(command, b"", CLIENT_SECONDS_MAX).unwrap())
}

#[test]
fn both_verifiers_accept_the_record_and_refuse_it_with_any_bit_changed() {
    let gateway = own("evidence", |_| ());
    let done = agent(
        &gateway,
        "psql -X -c 'select * from customers' -c 'drop table orders' -c \"insert into pad (t) values ('x')\"",
    );
    let run = newest_run(gateway.site());
    let site = gateway.stop();
    let exported = site.ask(&["export", &run, "--as", "bundle", "--output", "run.bundle"], "").unwrap();
    assert!(exported.status.success(), "{}\n{}", exported.all(), done.all());
    let (data, bundle) = (site.ledger(), site.dir().join("run.bundle"));
    for path in [&data, &bundle] {
        for said in verdicts(path) {
            assert!(said.status.success(), "{}: {}", path.display(), said.all());
        }
    }
    let segment = data.join("segment/0000000000.seg");
    for file in [segment, bundle.clone()] {
        let good = std::fs::read(&file).unwrap();
        let written = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let mut state = seed();
        for _ in 0..12 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (at, bit) = ((state >> 20) as usize % written, (state >> 11) % 8);
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&file, &bad).unwrap();
            let path = if file == bundle { &bundle } else { &data };
            for said in verdicts(path) {
                assert_eq!(
                    said.status.code(),
                    Some(1),
                    "{} byte {at} bit {bit}: {}",
                    file.display(),
                    said.all()
                );
            }
        }
        std::fs::write(&file, &good).unwrap();
    }
}

/// P1. Each client inserts numbered rows, one statement after another, and prints what was
/// acknowledged. The gateway dies by SIGKILL in the middle; then upstream's rows are counted against
/// the intents of each session.
#[test]
fn after_kill_9_every_effect_has_its_evidence() {
    const CLIENTS: u64 = 4;
    let mut gateway = own("crash", |_| ());
    let rounds = if std::env::var_os("INTEROP_ALL").is_some() { 12 } else { 3 };
    for round in 0..rounds {
        upstream().admin("crash", "TRUNCATE pad").unwrap();
        let script = format!(
            "for c in $(seq {CLIENTS}); do (n=0; while [ $n -lt 3000 ]; do n=$((n+1)); \
             echo \"insert into pad (t) values ('c$c');\"; done | psql -X -q -v ON_ERROR_STOP=1) & done; wait"
        );
        let mut clients = gateway.run("tester", &["/bin/sh", "-c", &script].map(Path::new));
        let running = thread::spawn(move || finish(&mut clients, b"", CLIENT_SECONDS_MAX));
        wait_for_rows("crash", 40);
        thread::sleep(Duration::from_millis((seed().wrapping_mul(7919) + round * 613) % 900));
        let site = gateway.crash();
        drop(running.join());
        let mut rows = rows_of_each_client();
        gateway = site.up().unwrap();
        let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
        assert_eq!(shown["run"]["state"], "interrupted", "{}", shown["run"]);
        let mut intents = intents_of_each_session(&shown);
        rows.sort_unstable();
        intents.sort_unstable();
        assert!(
            rows.iter().sum::<u64>() > 0,
            "round {round}: nothing had been written when the gateway died"
        );
        assert_eq!(rows.len(), intents.len(), "rows {rows:?}, intents {intents:?}");
        for (rows, intents) in rows.iter().zip(&intents) {
            assert!(rows <= intents, "round {round}: {rows} rows have only {intents} intents");
            assert!(
                *intents <= rows + 1,
                "round {round}: {intents} intents for {rows} rows of a client that waits for each"
            );
        }
        let verified = gateway.site().ask(&["verify"], "").unwrap();
        assert!(verified.status.success(), "round {round}: {}", verified.all());
    }
}

fn wait_for_rows(database: &str, rows: u64) {
    let begun = Instant::now();
    while begun.elapsed() < CLIENT_SECONDS_MAX {
        let now: u64 = upstream().admin(database, "SELECT count(*) FROM pad").unwrap().parse().unwrap();
        if now >= rows {
            return;
        }
    }
    panic!("the clients do not get to write");
}

fn rows_of_each_client() -> Vec<u64> {
    let counts = upstream().admin("crash", "SELECT count(*) FROM pad GROUP BY t").unwrap();
    counts.lines().map(|line| line.parse().unwrap()).collect()
}

fn intents_of_each_session(shown: &Value) -> Vec<u64> {
    let mut sessions = std::collections::BTreeMap::new();
    for action in shown["actions"].as_array().unwrap() {
        let writes = action["verbs"].as_array().unwrap().iter().any(|verb| verb == "write");
        if writes {
            *sessions.entry(action["session"].as_u64().unwrap()).or_insert(0) += 1;
        }
    }
    assert_eq!(shown["more_actions"], 0, "more actions than `show` lists: make the test smaller");
    sessions.into_values().collect()
}
