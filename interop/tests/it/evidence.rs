//! The record itself: it verifies, two verifiers agree, it survives a crash without a gap (P1), and it
//! holds no raw secret (P4).

use crate::world::{SECRETS, UPSTREAM_PASSWORD, fill, plan, upstream};
use interop::gateway::{Gateway, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::{Finished, finish};
use interop::programs;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A gateway of the test's own, before a database of its own.
fn own(database: &str) -> Gateway {
    fill(upstream(), database);
    let mut plan = plan();
    plan.database = database.to_owned();
    Gateway::start(&plan, upstream()).unwrap()
}

fn agent(gateway: &Gateway, script: &str) -> Finished {
    gateway.run_to_end("tester", &["/bin/sh", "-c", script].map(Path::new), "").unwrap()
}

/// What the verifier of ours and the one in Python say of a path.
fn verdicts(path: &Path) -> [Finished; 2] {
    let mut ours = Command::new(programs::verifier().unwrap());
    let mut python = Command::new("/usr/bin/python3");
    python.arg(programs::source("contrib/verify.py"));
    [ours.arg(path), python.arg(path)].map(|command| finish(command, b"", CLIENT_SECONDS_MAX).unwrap())
}

fn json(site: &Site, words: &[&str]) -> Value {
    let said = site.ask(words, "").unwrap();
    serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()))
}

fn newest_run(site: &Site) -> String {
    json(site, &["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned()
}

/// A number that differs from run to run and can be given again (`INTEROP_SEED`).
fn seed() -> u64 {
    std::env::var("INTEROP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

#[test]
fn both_verifiers_accept_the_record_and_refuse_it_with_any_bit_changed() {
    let gateway = own("evidence");
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
    let mut gateway = own("crash");
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

/// P4. The governed values go through every path that the test can think of; then every file below the
/// gateway's directory, and its log, is searched for them in the forms that a scan would find.
#[test]
fn no_governed_value_is_in_any_file_of_the_gateways() {
    let gateway = own("canary");
    let secret = "318-66-2049";
    let done = agent(
        &gateway,
        &format!(
            "psql -X -c 'select * from customers' -c \"select * from customers where ssn = '{secret}'\" \
             -c \"select '{secret}' as literal, note from orders\" -c 'copy customers to stdout' -c \"select '{secret}'::int\" \
             -c \"insert into pad (t) values ('{secret}') returning t\" -c \"prepare p(text) as select \\$1\" \
             -c \"execute p('{secret}')\" -c \"select 1 as \\\"{secret}\\\"\" -c \"/* {secret} */ select 1\"; \
             printf '{secret}\\n' | psql -X -c 'copy pad (t) from stdin'; \
             PGAPPNAME='{secret}' psql -X -c 'select 1'; psql -X -c 'drop table \"{secret}\"'"
        ),
    );
    let site = gateway.stop();
    let mut found = Vec::new();
    for file in files_below(&site.dir()) {
        let mut bytes = std::fs::read(&file).unwrap_or_default();
        // A segment is full of zeros from where it ends.
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        for value in SECRETS.iter().chain([&UPSTREAM_PASSWORD]) {
            for (form, needle) in forms(value) {
                if holds(&bytes, &needle) {
                    found.push(format!("{} holds {value} as {form}", file.display()));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}\n{}", found.join("\n"), done.all());
}

#[test]
fn the_search_itself_finds_what_is_planted() {
    for (form, needle) in forms("402-81-1957") {
        let mut file = vec![7; 100];
        file.extend_from_slice(&needle);
        file.extend_from_slice(&[9; 100]);
        assert!(holds(&file, &needle), "{form}");
        assert!(!holds(&[7; 300], &needle), "{form}");
    }
}

/// The forms in which a value would still be that value.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let utf16 = |big: bool| {
        value
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    let mut forms = vec![
        ("raw", value.as_bytes().to_vec()),
        ("hex", hex.clone().into_bytes()),
        ("HEX", hex.to_uppercase().into_bytes()),
        ("UTF-16LE", utf16(false)),
        ("UTF-16BE", utf16(true)),
        ("reversed", value.bytes().rev().collect()),
    ];
    // At each of the three alignments the middle of the base64 text is the same whatever stands around.
    for shift in 0..3 {
        let mut padded = vec![0; shift];
        padded.extend_from_slice(value.as_bytes());
        let text = base64(&padded);
        let inner = &text[(shift * 4).div_ceil(3)..text.len() - 4];
        forms.push(("base64", inner.to_vec()));
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() { ALPHABET[digit as usize] } else { b'=' });
        }
    }
    out
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => (),
            }
        }
    }
    files
}
