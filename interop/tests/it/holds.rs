//! While a transaction holds locks nobody waits for a human, unless the resource says so; pipelines of psycopg count as what
//! they are.

use crate::names::{bind, execute, parse};
use crate::people::{asked, operator, waiting, with_token};
use crate::raw::{Raw, code, extended, message, query};
use crate::world::{POLICY, drivers, eventually, good_at, json, own, upstream};
use interop::gateway::Gateway;
use interop::process::Finished;
use serde_json::Value;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Sends all its words in one pipeline, and says how each of the pipelines ended that `;;` parts.
const PIPELINE: &str = r#"
import psycopg, sys
c = psycopg.connect(autocommit=True)
for statements in " ".join(sys.argv[1:]).split(";;"):
    try:
        with c.pipeline():
            for statement in statements.split(";"):
                c.execute(statement)
        print("done")
    except psycopg.Error as e:
        print(e.sqlstate, e.diag.message_hint)
    c.execute("ROLLBACK")
"#;

/// The same without pipelines: one statement after the other, each group on a connection of its own.
const ONE_BY_ONE: &str = r#"
import psycopg, sys
for statements in " ".join(sys.argv[1:]).split(";;"):
    with psycopg.connect(autocommit=True) as c:
        try:
            for statement in statements.split(";"):
                c.execute(statement)
            print("done")
        except psycopg.Error as e:
            print(e.sqlstate, e.diag.message_hint)
"#;

/// `piper` takes advisory locks, writes orders, and the pad with a lead's word.
fn gateway(database: &str, lines: &str) -> (Gateway, String) {
    let gateway = own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.resource_lines = lines.to_owned();
        plan.policy = format!(
            "{POLICY}\n@id(\"piper-writes\")\npermit (principal in Agent::\"piper\", action == Action::\"write\", \
             resource in Resource::\"crm\");\n@id(\"piper-locks\")\npermit (principal in Agent::\"piper\", \
             action == Action::\"execute\", resource in Resource::\"crm\");\n@id(\"pad-asks\")\n@needs(\"leads\")\nforbid (principal in Agent::\"piper\", \
             action == Action::\"write\", resource in Resource::\"crm/{database}/public/pad\")\nunless \
             {{ context.approvals.contains(\"leads\") }};\n"
        );
    });
    let lead = operator(&gateway, "lena", "approver", "leads");
    (gateway, lead)
}

fn pipelines(gateway: &Gateway, all: &str) -> Finished {
    sent_as(PIPELINE, gateway, all)
}

fn sent_as(script: &str, gateway: &Gateway, all: &str) -> Finished {
    let python = drivers().python();
    let words = [python.as_path(), Path::new("-c"), Path::new(script), Path::new(all)];
    gateway.run_to_end("piper", &words, "").unwrap()
}

const ASKS: &str = "INSERT INTO pad (t) VALUES ('x')";

#[test]
fn nobody_is_asked_while_others_wait_for_locks() {
    let (gateway, lead) = gateway("holds", "");
    let update = "UPDATE orders SET note = 'held' WHERE id = 1";
    let holding = [
        format!("BEGIN; {update}; {ASKS}"),
        // No BEGIN: the transaction that a pipeline is until its Sync.
        format!("{update}; {ASKS}"),
        format!("BEGIN; SELECT id FROM orders WHERE id = 1 FOR UPDATE; {ASKS}"),
        format!("BEGIN; LOCK TABLE orders IN SHARE MODE; {ASKS}"),
        format!("BEGIN; {update}; SAVEPOINT a; SELECT 1; {ASKS}"),
        format!("{update}; COMMIT; BEGIN; {update}; {ASKS}"),
    ];
    let done = pipelines(&gateway, &holding.join(";;"));
    good_at(&gateway, &done);
    let out = done.out();
    assert_eq!(out.lines().count(), holding.len(), "{out}");
    for (line, sent) in out.lines().zip(&holding) {
        assert!(line.starts_with("25001 ") && line.contains("hold_in_transaction"), "{sent}: {line}");
    }
    let note = upstream().admin("holds", "SELECT note FROM orders WHERE id = 1").unwrap();
    assert_eq!(note, "held", "the one that was committed before");
    // Where nothing is held a human is asked, and told what the transaction is as of that statement.
    for (sent, inside) in [
        (format!("BEGIN; SELECT 1; {ASKS}"), true),
        (format!("SELECT 1; {ASKS}"), true),
        (format!("BEGIN; {update}; COMMIT; {ASKS}"), false),
        (format!("BEGIN; {update}; ROLLBACK; {ASKS}"), false),
    ] {
        thread::scope(|scope| {
            let agent = scope.spawn(|| pipelines(&gateway, &sent));
            let ask = waiting(&gateway, &lead, "pad");
            let seen = asked(&gateway, &lead, "pad").unwrap();
            assert_eq!(seen["in_transaction"], inside, "{sent}: {seen}");
            assert!(with_token(&gateway, &lead, &["deny", &ask, "--reason", "no"]).status.success());
            let said = agent.join().unwrap();
            assert!(said.out().starts_with("42501 "), "{sent}: {}", said.all());
        });
    }
}

#[test]
fn nobody_is_asked_while_others_wait_for_advisory_locks_of_the_session() {
    let (gateway, lead) = gateway("holds_advisory", "");
    let holding = [
        format!("SELECT pg_advisory_lock(1); {ASKS}"),
        format!("SELECT pg_try_advisory_lock_shared(2); {ASKS}"),
        // Rolling back does not release it.
        format!("BEGIN; SELECT pg_advisory_lock(1); ROLLBACK; {ASKS}"),
        format!("PREPARE l AS SELECT pg_advisory_lock(3); EXECUTE l; {ASKS}"),
        // Of what is released one by one nobody knows what is left.
        format!("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock(1); {ASKS}"),
        format!("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock_all() WHERE 1 = 2; {ASKS}"),
    ];
    for (how, script) in [("one by one", ONE_BY_ONE), ("pipelines", PIPELINE)] {
        // A pipeline's own transaction is over with COMMIT; the lock is not.
        let holding = holding.clone().map(|sent| match how {
            "pipelines" => {
                sent.replace(ASKS, &format!("COMMIT; {ASKS}")).replace("ROLLBACK; COMMIT", "ROLLBACK")
            }
            _ => sent,
        });
        let done = sent_as(script, &gateway, &holding.join(";;"));
        good_at(&gateway, &done);
        let out = done.out();
        assert_eq!(out.lines().count(), holding.len(), "{how}: {}", gateway.explain(&done));
        for (line, sent) in out.lines().zip(&holding) {
            assert!(
                line.starts_with("55000 ") && line.contains("pg_advisory_unlock_all"),
                "{how}: {sent}: {line}"
            );
        }
    }
    for sent in [
        format!("SELECT pg_advisory_lock(1); SELECT pg_advisory_unlock_all(); {ASKS}"),
        format!("SELECT pg_advisory_lock(1); DISCARD ALL; {ASKS}"),
        format!("BEGIN; SELECT pg_advisory_xact_lock(1); COMMIT; {ASKS}"),
    ] {
        thread::scope(|scope| {
            let agent = scope.spawn(|| sent_as(ONE_BY_ONE, &gateway, &sent));
            let ask = waiting(&gateway, &lead, "pad");
            assert!(with_token(&gateway, &lead, &["approve", &ask]).status.success());
            assert_eq!(agent.join().unwrap().out(), "done\n", "{sent}");
        });
    }
    assert_eq!(upstream().admin("holds_advisory", "SELECT count(*) FROM pad").unwrap(), "3");
}

#[test]
fn a_hold_in_a_transaction_is_as_long_as_the_resource_says_and_ends_it() {
    let lines = "hold_in_transaction = \"2s\"\nidle_in_transaction_timeout = \"4s\"";
    let (gateway, lead) = gateway("holds_some", lines);
    let (gateway, lead) = (&gateway, &lead);
    let sent = format!("BEGIN; UPDATE orders SET note = 'held' WHERE id = 2; {ASKS}");
    thread::scope(|scope| {
        let begun = Instant::now();
        let agent = scope.spawn(|| pipelines(gateway, &sent));
        drop(waiting(gateway, lead, "pad"));
        let said = agent.join().unwrap();
        assert!(said.out().starts_with("42501 "), "{}", said.all());
        assert!(begun.elapsed() < Duration::from_secs(15), "not the 20 s of a request outside of it");
    });
    // Nothing is held any more.
    let free = "SET lock_timeout = '1s'; UPDATE orders SET note = 'free' WHERE id = 2";
    upstream().admin("holds_some", free).unwrap();
    // An approval in time is one.
    thread::scope(|scope| {
        let agent = scope.spawn(|| pipelines(gateway, &sent.replace("INSERT", "COMMIT; BEGIN; INSERT")));
        let ask = waiting(gateway, lead, "pad");
        assert!(with_token(gateway, lead, &["approve", &ask]).status.success());
        assert_eq!(agent.join().unwrap().out(), "done\n");
    });
    // So it is while an advisory lock of the session is held.
    thread::scope(|scope| {
        let begun = Instant::now();
        let sent = format!("SELECT pg_advisory_lock(7); {ASKS}");
        let agent = scope.spawn(move || sent_as(ONE_BY_ONE, gateway, &sent));
        drop(waiting(gateway, lead, "pad"));
        assert!(agent.join().unwrap().out().starts_with("42501 "));
        assert!(begun.elapsed() < Duration::from_secs(15), "not the 20 s of a session without locks");
    });
    // What a client leaves open is ended.
    let leaves = "import psycopg, time\nc = psycopg.connect()\nc.execute('SELECT 1')\ntime.sleep(6)\n\
                  try:\n    c.execute('SELECT 1')\nexcept psycopg.Error as e:\n    print('over')";
    let words = [drivers().python(), "-c".into(), leaves.into()];
    let words: Vec<&Path> = words.iter().map(|word| word.as_path()).collect();
    assert_eq!(gateway.run_to_end("piper", &words, "").unwrap().out(), "over\n");
    // So is what no Sync is behind, of which upstream says nothing: others wait for its locks as long.
    let lease = gateway.lease("piper").unwrap();
    let mut client = Raw::log_in(gateway, &lease);
    let locks = "UPDATE orders SET note = 'flushed' WHERE id = 2";
    client.send(&[parse("", locks), bind("", ""), execute("", 0), message(b'H', b"")].concat());
    let ended = std::iter::from_fn(|| client.message().ok()).find(|(kind, _)| *kind == b'E');
    assert_eq!(code(&[ended.unwrap()]).as_deref(), Some("25P03"));
    upstream().admin("holds_some", free).unwrap();
    let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]);
    assert_eq!(shown["actions"][0]["effect"], "rolled-back", "{shown}");
    assert_eq!(shown["sessions"][0]["why"], "idle", "{shown}");
}

#[test]
fn timeouts_of_locks_and_idle_transactions_can_be_lowered_and_not_lifted() {
    let (gateway, _) = gateway("holds_times", "lock_timeout = \"30s\"");
    let script = r#"
import psycopg
def shown(options):
    with psycopg.connect(options=options, autocommit=True) as c:
        return [c.execute("SHOW " + s).fetchone()[0] for s in ("lock_timeout", "idle_in_transaction_session_timeout")]
print(shown(""))
print(shown("-c lock_timeout=0 -c idle_in_transaction_session_timeout=0"))
print(shown("-c lock_timeout=31s"))
print(shown("-c lock_timeout=5s -c idle_in_transaction_session_timeout=1min"))
with psycopg.connect(autocommit=True) as c:
    for to in ("lock_timeout = '1min'", "idle_in_transaction_session_timeout = '1h'"):
        try:
            c.execute("SET " + to)
            print("lifted")
        except psycopg.Error as e:
            print(e.sqlstate)
    c.execute("SET lock_timeout = '1s'")
    # As a dump does: off is as the gateway has set it.
    for off in ("SET lock_timeout = 0", "SET LOCAL lock_timeout TO '0 ms'", "SET idle_in_transaction_session_timeout TO 0"):
        c.execute(off)
    print(c.execute("SHOW lock_timeout").fetchone()[0], c.execute("SHOW idle_in_transaction_session_timeout").fetchone()[0])
    c.execute("RESET lock_timeout")
    print(c.execute("SHOW lock_timeout").fetchone()[0])
"#;
    let words = [drivers().python(), "-c".into(), script.into()];
    let words: Vec<&Path> = words.iter().map(|word| word.as_path()).collect();
    let done = gateway.run_to_end("tester", &words, "").unwrap();
    let pinned = "['30s', '10min']\n";
    let expect = format!("{pinned}{pinned}{pinned}['5s', '1min']\n42501\n42501\n30s 10min\n30s\n");
    assert_eq!(done.out(), expect, "{}", gateway.explain(&done));
}

/// Minutes of work that needs no function with effects; `n` tells one from another.
fn long(n: usize) -> String {
    format!("SELECT count(*) FROM generate_series(1, 60000) a, generate_series(1, 6000{n}) b")
}

/// Those actions of a run that hold `word`.
fn actions(gateway: &Gateway, run: &str, word: &str) -> Vec<Value> {
    let shown = json(gateway.site(), &["show", run, "--json"]);
    let all = shown["actions"].as_array().unwrap();
    all.iter().filter(|action| action.to_string().contains(word)).cloned().collect()
}

/// Parse, Bind and Execute, and no Sync behind them.
fn unsynced(sql: &str) -> Vec<u8> {
    let mut sent = extended(sql, &[]);
    sent.truncate(sent.len() - message(b'S', b"").len());
    sent
}

#[test]
fn what_waits_to_be_asked_about_when_its_client_goes_is_refused_in_the_record() {
    let (gateway, lead) = gateway("holds_gone", "");
    for (n, (sent, which)) in [
        ([unsynced(&long(0)), extended(ASKS, &[])].concat(), "one flight"),
        ([query(&long(1)), query(ASKS)].concat(), "two queries"),
    ]
    .into_iter()
    .enumerate()
    {
        let lease = gateway.lease("piper").unwrap();
        let mut client = Raw::log_in(&gateway, &lease);
        client.send(&sent);
        let runs = format!(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE state = 'active' AND usename = 'crm_app' AND \
             query LIKE '%, 6000{n})%'"
        );
        eventually("the long statement runs", || {
            (upstream().admin("holds_gone", &runs).unwrap() == "t").then_some(())
        });
        assert!(asked(&gateway, &lead, "pad").is_none(), "{which}: asked while it is not known what is held");
        drop(client);
        let run = lease.variable("TACHO_RUN");
        let why = "the connection ended before anybody was asked";
        let refused = eventually("a refusal of it", || actions(&gateway, run, why).pop());
        let said = refused.to_string();
        assert!(said.contains("INSERT INTO pad") && said.contains("pad-asks"), "{which}: {said}");
        assert!(said.contains("08006"), "{which}: {said}");
        assert_eq!(actions(&gateway, run, "INSERT INTO pad").len(), 1, "{which}: once");
    }
    assert_eq!(upstream().admin("holds_gone", "SELECT count(*) FROM pad").unwrap(), "0");
    // On a busy machine the gateway's cancel may come too late for one that nobody waits for.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'holds_gone' AND usename = 'crm_app'";
    upstream().admin("holds_gone", end).unwrap();
}

#[test]
fn what_waits_to_be_asked_about_behind_an_error_is_refused_in_the_record() {
    let (gateway, lead) = gateway("holds_error", "");
    let lease = gateway.lease("piper").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[unsynced("SELECT 1 / 0"), extended(ASKS, &[])].concat());
    let answer = client.until_ready().unwrap();
    assert_eq!(code(&answer).as_deref(), Some("22012"));
    assert_eq!(answer.iter().filter(|(kind, _)| *kind == b'E').count(), 1, "{answer:?}");
    let refused = actions(&gateway, lease.variable("TACHO_RUN"), "INSERT INTO pad");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].to_string().contains("25P02"), "{refused:?}");
    assert!(asked(&gateway, &lead, "pad").is_none());
}

/// Opens connections until it is told that there are enough, closes one, and opens another.
const MANY: &str = r#"
import psycopg, time
open = []
try:
    while len(open) < 9:
        open.append(psycopg.connect())
except psycopg.OperationalError as e:
    print(len(open), "connections_per_run" in str(e))
open.pop().close()
for _ in range(100):
    try:
        open.append(psycopg.connect())
        break
    except psycopg.OperationalError:
        time.sleep(0.1)
print(len(open))
"#;

#[test]
fn a_run_does_not_take_all_connections_of_the_database() {
    let (gateway, _) = gateway("holds_many", "connections_per_run = 3");
    thread::scope(|scope| {
        // Another run has as many of its own.
        let runs: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let words = [drivers().python(), "-c".into(), MANY.into()];
                    let words: Vec<&Path> = words.iter().map(|word| word.as_path()).collect();
                    gateway.run_to_end("piper", &words, "").unwrap()
                })
            })
            .collect();
        for run in runs {
            let said = run.join().unwrap();
            assert_eq!(said.out(), "3 True\n3\n", "{}", said.all());
        }
    });
}
