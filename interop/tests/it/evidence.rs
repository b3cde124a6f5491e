//! The record itself: it verifies, two verifiers agree, and it survives a crash without a gap (P1).

use crate::people::{operator, with_token};
use crate::scan::{files_below, records};
use crate::world::{agent, client, drivers, eventually, fill, good_at, json, newest_run, own, plan, seed};
use interop::gateway::{Plan, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::postgres::{Postgres, debian};
use interop::process::{Finished, finish};
use interop::programs;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
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

/// The wrapped key of a run as it stands in `run-keys`: behind the run's id, 60 bytes.
fn wrapped_key(site: &Site, run: &str) -> Vec<u8> {
    let id: Vec<u8> =
        (0..32).step_by(2).map(|at| u8::from_str_radix(&run[at..at + 2], 16).unwrap()).collect();
    let keys = std::fs::read(site.dir().join("tacho-keys/run-keys")).unwrap();
    let at = keys.windows(16).position(|window| window == id).expect("the run has a key") + 16;
    keys[at..at + 60].to_vec()
}

fn stands_in_a_file(site: &Site, bytes: &[u8]) -> bool {
    let holds = |path: &std::path::PathBuf| {
        std::fs::read(path).is_ok_and(|all| all.windows(bytes.len()).any(|window| window == bytes))
    };
    files_below(&site.dir()).iter().any(holds)
}

/// An admin destroys a run's key; what the run was shown is read by nobody, and all that is proved of it stays proved.
#[test]
fn an_erased_run_is_read_by_nobody_and_its_record_stays() {
    let gateway = own("erased", |plan| plan.durability = "os".to_owned());
    good_at(&gateway, &agent(&gateway, "psql -X -c 'select * from customers'"));
    let site = gateway.site();
    let run = newest_run(site);
    let replay = |expected: i32| {
        let said = site.ask(&["replay", &run], "").unwrap();
        assert_eq!(said.status.code(), Some(expected), "{}", gateway.explain(&said));
        said.all()
    };
    let actions = || json(site, &["show", &run, "--json"])["actions"].clone();
    assert!(replay(0).contains("ssn_1"));
    let (key, before) = (wrapped_key(site, &run), actions());
    assert!(stands_in_a_file(site, &key));
    let export = |words: &[&str]| {
        site.ask(&[&["export", &*run, "--as", "bundle"], words].concat(), "").unwrap().status.success()
    };
    assert!(export(&["--with-key", "--output", "before.bundle"]));

    let admin = operator(&gateway, "olga", "admin", "none");
    let auditor = operator(&gateway, "alma", "auditor", "none");
    let erase = |token: &str, run: &str| {
        let words = ["runs", "erase", run, "--reason", "asked to by 536-22-8391"];
        let said = with_token(&gateway, token, &words);
        (said.status.code(), said.all())
    };
    let lease = gateway.lease("asker").unwrap();
    let open = lease.variable("TACHO_RUN").to_owned();
    for (token, run, why) in [
        (&auditor, &*run, "admin"),
        (&admin, &run[..12], "whole id"),
        (&admin, &open, "is open"),
        (&admin, "ffffffffffffffffffffffffffffffff", "has no key"),
    ] {
        let (code, said) = erase(token, run);
        assert!(code != Some(0) && said.contains(why), "{said}");
    }
    assert!(stands_in_a_file(site, &key));
    let (code, said) = erase(&admin, &run);
    assert_eq!(code, Some(0), "{said}");
    assert!(!stands_in_a_file(site, &key), "the key is still on the disk");
    assert!(erase(&admin, &run).1.contains("erased already"));

    assert!(replay(3).contains("were erased"));
    assert_eq!(actions(), before);
    for verb in ["who", "touched", "show"] {
        assert!(site.ask(&[verb, &run], "").unwrap().status.success(), "{verb}");
    }
    for verb in ["who", "show"] {
        assert_eq!(json(site, &[verb, &run, "--json"])["erasure"]["by"], "olga", "{verb}");
    }
    assert!(site.ask(&["exposed", &run], "").unwrap().out().contains("masked"));
    assert!(!export(&["--with-key", "--output", "none.bundle"]));
    assert!(export(&["--output", "after.bundle"]));
    // Another run works, and is not erased with it.
    good_at(&gateway, &agent(&gateway, "psql -X -c 'select 1'"));
    let other = newest_run(site);
    drop(lease);
    let site = gateway.stop().up().unwrap().stop();
    assert!(!stands_in_a_file(&site, &key));
    wrapped_key(&site, &other);
    for path in [site.ledger(), site.dir().join("before.bundle"), site.dir().join("after.bundle")] {
        for said in verdicts(&path) {
            assert!(said.status.success(), "{}: {}", path.display(), said.all());
        }
    }
    let all = records(&site.ledger());
    let of = |kind: &str| all.iter().filter(|r| r.has(kind) && r.has("olga")).collect::<Vec<_>>();
    assert_eq!(of("tombstone").len(), 1, "what is not erased has no tombstone");
    assert!(of("tombstone")[0].has("asked to by [pii.ssn]"));
    assert!(of("admin").iter().any(|record| record.has("erase")));
    let net = crate::scan::Net::new(["536-22-8391"]);
    assert_eq!(net.search_files(&site.dir()), Vec::<String>::new());
}

/// P1. Sessions write rows that each have a mark, in transactions and without, and print what they were told. The gateway dies by
/// SIGKILL in the middle. Then both sides are asked: what ran upstream (its own log) and what it kept (its rows) against what the
/// record has, and what a client was told against both.
#[test]
fn after_kill_9_every_effect_has_its_evidence_and_no_word_to_a_client_is_lost() {
    let server = Postgres::start_with(&debian().unwrap(), &["log_statement='mod'"]).unwrap();
    fill(&server, "crash");
    let mut gateway =
        Site::new(&Plan { database: "crash".to_owned(), ..plan() }, &server).unwrap().up().unwrap();
    let script = client("crash_client.py");
    let rounds = if std::env::var_os("INTEROP_ALL").is_some() { 12 } else { 3 };
    for round in 0..rounds {
        server.admin("crash", "TRUNCATE pad").unwrap();
        let before = server.log().len();
        let mut clients = gateway.run("tester", &[&drivers().python(), &script]);
        let running = thread::spawn(move || finish(&mut clients, b"", CLIENT_SECONDS_MAX));
        wait_for_rows(&server, 40);
        thread::sleep(Duration::from_millis((seed().wrapping_mul(7919) + round * 613) % 900));
        let site = gateway.crash();
        let said = running.join().unwrap().unwrap().out();
        let rows = settled_rows(&server);
        gateway = site.up().unwrap();
        let ran = marks(&server.log()[before..]);
        let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
        assert_eq!(shown["run"]["state"], "interrupted", "{}", shown["run"]);
        let recorded = effects(&shown);
        judge(&Sides { said: &said, rows, ran, recorded })
            .unwrap_or_else(|why| panic!("round {round}: {why}"));
        let verified = gateway.site().ask(&["verify"], "").unwrap();
        assert!(verified.status.success(), "round {round}: {}", verified.all());
    }
}

/// What each side knows of the marks.
struct Sides<'a> {
    /// What the clients printed.
    said: &'a str,
    /// What upstream kept, and what it ran.
    rows: BTreeSet<String>,
    ran: BTreeSet<String>,
    /// Mark -> what the record says became of it.
    recorded: BTreeMap<String, String>,
}

fn judge(of: &Sides<'_>) -> Result<(), String> {
    let told = |word: &str| -> BTreeSet<String> {
        let lines = of.said.lines().filter_map(|line| line.split_once(' '));
        lines.filter(|(said, _)| *said == word).map(|(_, mark)| mark.to_owned()).collect()
    };
    let (committed, back) = (told("committed"), told("back"));
    if committed.is_empty() || back.is_empty() {
        return Err("the gateway died before anything was told".to_owned());
    }
    for mark in &of.ran {
        of.recorded.get(mark).ok_or_else(|| format!("{mark} ran upstream, and has no intent"))?;
    }
    for mark in &of.rows {
        if !of.ran.contains(mark) {
            return Err(format!("{mark} is a row, and upstream's log does not have it"));
        }
        if let Some("rolled-back" | "refused") = of.recorded.get(mark).map(String::as_str) {
            return Err(format!("{mark} is a row, and its record is {}", of.recorded[mark]));
        }
    }
    for (all, effect) in [(&committed, "committed"), (&back, "rolled-back")] {
        for mark in all {
            if of.rows.contains(mark) != (effect == "committed") {
                return Err(format!("a client was told {effect} of {mark}, and upstream says otherwise"));
            }
            let recorded = of.recorded.get(mark).map(String::as_str);
            if recorded != Some(effect) {
                return Err(format!("a client was told {effect} of {mark}, and its record is {recorded:?}"));
            }
        }
    }
    // Each session waits for each of its statements: one of each may be on its way, and all that its transaction had so far.
    let in_vain = of.recorded.keys().filter(|mark| !of.ran.contains(*mark)).count();
    if in_vain > 4 { Err(format!("{in_vain} intents of statements that never ran")) } else { Ok(()) }
}

/// A judge that lets everything pass would prove nothing.
#[test]
fn the_judge_of_both_sides_finds_what_one_of_them_lacks() {
    let set = |marks: &[&str]| marks.iter().map(|mark| (*mark).to_owned()).collect::<BTreeSet<_>>();
    let recorded = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(mark, effect)| ((*mark).to_owned(), (*effect).to_owned())).collect()
    };
    let good = || Sides {
        said: "committed a\nback b\n",
        rows: set(&["a", "c"]),
        ran: set(&["a", "b", "c"]),
        recorded: recorded(&[("a", "committed"), ("b", "rolled-back"), ("c", "indeterminate")]),
    };
    judge(&good()).unwrap();
    let ill: [(&str, Sides<'_>); 6] = [
        ("nothing told", Sides { said: "", ..good() }),
        ("an effect without an intent", Sides { ran: set(&["a", "b", "c", "d"]), ..good() }),
        ("a row that never ran", Sides { ran: set(&["a", "b"]), ..good() }),
        (
            "a word that is not in the record",
            Sides {
                recorded: recorded(&[("a", "indeterminate"), ("b", "rolled-back"), ("c", "committed")]),
                ..good()
            },
        ),
        ("a word that is not true", Sides { rows: set(&["c"]), ..good() }),
        (
            "a row that the record says is not",
            Sides {
                recorded: recorded(&[("a", "committed"), ("b", "rolled-back"), ("c", "rolled-back")]),
                ..good()
            },
        ),
    ];
    for (what, sides) in ill {
        assert!(judge(&sides).is_err(), "{what}");
    }
}

fn wait_for_rows(server: &Postgres, rows: u64) {
    let begun = Instant::now();
    while begun.elapsed() < CLIENT_SECONDS_MAX {
        let now: u64 = server.admin("crash", "SELECT count(*) FROM pad").unwrap().parse().unwrap();
        if now >= rows {
            return;
        }
    }
    panic!("the clients do not get to write");
}

/// The rows that are there when upstream has ended what the gateway left behind.
fn settled_rows(server: &Postgres) -> BTreeSet<String> {
    let busy = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'crm_app'";
    eventually("the upstream's sessions end", || (server.admin("crash", busy).unwrap() == "0").then_some(()));
    server.admin("crash", "SELECT t FROM pad").unwrap().lines().map(str::to_owned).collect()
}

/// The marks in a text.
fn marks(text: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !word(c)).filter(|word| word.starts_with("mark_"));
    words.map(str::to_owned).collect()
}

fn effects(shown: &Value) -> BTreeMap<String, String> {
    let mut effects = BTreeMap::new();
    for action in shown["actions"].as_array().unwrap() {
        for mark in marks(action["statement"].as_str().unwrap_or_default()) {
            let effect = action["effect"].as_str().unwrap_or("none").to_owned();
            assert_eq!(effects.insert(mark.clone(), effect), None, "{mark} was recorded twice");
        }
    }
    assert_eq!(shown["more_actions"], 0, "more actions than `show` lists: make the test smaller");
    effects
}
