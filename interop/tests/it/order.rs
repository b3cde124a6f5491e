//! P1 in system calls: no write to the upstream's socket carries a statement before the `fdatasync` of its intent has
//! returned, and none to the client what came back before that of its outcome.
//!
//! The statements are told apart by a name that stands in their text, in their record, and in their answer.

use crate::names::{bind, execute, parse};
use crate::raw::{Raw, code, message};
use crate::world::{agent, good_at, json, newest_run, own_site, upstream};
use interop::gateway::Gateway;
use interop::limits::START_SECONDS_MAX;
use interop::place::Scratch;
use interop::process::Daemon;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

const STATEMENTS: usize = 5;

fn marker(n: usize) -> String {
    format!("marker_of_statement_{n:03}")
}

/// What of a statement went where, in the order of a trace's lines.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    name: String,
    /// The descriptor as strace shows it: a path, or both ends of a connection.
    to: String,
    text: String,
    begun: usize,
    ended: usize,
    good: bool,
}

/// Runs the statements through a gateway whose system calls are watched.
fn traced(database: &str, durability: &str) -> (Vec<Call>, Gateway) {
    let one = |n| format!("insert into pad (t) values ('x') returning t as {}", marker(n));
    let words: Vec<String> = (0..STATEMENTS).map(|n| format!("-c \"{}\"", one(n))).collect();
    watched(database, durability, upstream().port, |gateway| {
        let done = agent(gateway, &format!("psql -X -v ON_ERROR_STOP=1 {}", words.join(" ")));
        good_at(gateway, &done);
    })
}

fn watched(database: &str, durability: &str, port: u16, work: impl FnOnce(&Gateway)) -> (Vec<Call>, Gateway) {
    let site = own_site(database, |plan| plan.durability = durability.to_owned());
    // In the clear, so that the trace shows what is sent.
    site.reach(&format!("crm_app@localhost:{port}/{database}?sslmode=disable")).unwrap();
    let gateway = site.up().unwrap();
    let scratch = Scratch::new("strace").unwrap();
    let (calls, log) = (scratch.path().join("calls"), scratch.path().join("log"));
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-yy",
        "-s",
        "70000",
        "-e",
        "trace=write,writev,sendto,sendmsg,pwrite64,pwritev,fdatasync",
    ]);
    strace.arg("-o").arg(&calls).args(["-p", &gateway.pid().to_string()]);
    let mut strace = Daemon::start(&mut strace, &log, "INT").unwrap();
    let attached = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains("attached"));
    strace.wait_ready(START_SECONDS_MAX, attached).unwrap();
    work(&gateway);
    drop(strace);
    let text = std::fs::read(&calls).unwrap();
    (read(&String::from_utf8(text).unwrap()), gateway)
}

/// Reads strace's lines: `PID name(FD<what>, "text", ...) = result`, perhaps in two halves.
fn read(trace: &str) -> Vec<Call> {
    let mut halves: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, rest)) = text.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(first) = rest.strip_suffix("<unfinished ...>") {
            halves.insert(thread, (line, first.trim_end().to_owned()));
            continue;
        }
        let (begun, whole) = match rest.strip_prefix("<... ") {
            None => (line, rest.to_owned()),
            Some(resumed) => {
                let Some((begun, first)) = halves.remove(thread) else { continue };
                (begun, first + resumed.split_once('>').map_or("", |(_, rest)| rest))
            }
        };
        let (Some((name, inner)), Some((_, result))) = (whole.split_once('('), whole.rsplit_once(" = "))
        else {
            continue;
        };
        let to =
            inner.split_once('<').and_then(|(_, to)| to.split_once(">,").or_else(|| to.split_once(">)")));
        calls.push(Call {
            name: name.to_owned(),
            to: to.map_or("", |(to, _)| to).to_owned(),
            text: inner.to_owned(),
            begun,
            ended: line,
            good: !result.starts_with('-') && !result.starts_with('?'),
        });
    }
    calls
}

/// That a statement's intent was durable before it was sent upstream, and its outcome before the answer left.
fn judge(calls: &[Call], marker: &str, upstream: u16, gateway: u16) -> Result<(), String> {
    let with = |calls: &'_ [Call]| -> Vec<Call> {
        calls.iter().filter(|c| c.text.contains(marker)).cloned().collect()
    };
    let marked = with(calls);
    let records: Vec<&Call> =
        marked.iter().filter(|c| c.name.starts_with("pwrite") && c.to.ends_with(".seg")).collect();
    let sent = |end: String| marked.iter().find(|c| c.to.contains("TCP") && c.to.contains(&end) && c.good);
    let to_upstream = sent(format!("->127.0.0.1:{upstream}]")).ok_or("it was not sent upstream")?;
    let to_client = sent(format!("127.0.0.1:{gateway}->")).ok_or("its answer was not sent")?;
    let [intent, outcome, ..] = records[..] else { return Err(format!("it has {} records", records.len())) };
    for (record, effect, what) in [(intent, to_upstream, "statement"), (outcome, to_client, "answer")] {
        let synced = calls
            .iter()
            .find(|c| c.name == "fdatasync" && c.to == record.to && c.good && c.begun > record.ended);
        let synced = synced.ok_or_else(|| format!("the record of the {what} was never synced"))?;
        if synced.ended >= effect.begun {
            return Err(format!(
                "the {what} left at line {}, its record's sync returned at {}",
                effect.begun, synced.ended
            ));
        }
    }
    Ok(())
}

#[test]
fn no_statement_is_sent_before_its_record_is_on_the_disk_and_no_answer_before_its_own() {
    let (calls, gateway) = traced("order_sync", "sync");
    for n in 0..STATEMENTS {
        judge(&calls, &marker(n), upstream().port, gateway.site().port).unwrap();
    }
}

/// A way to the server on which each ReadyForQuery comes by itself, a moment after what stands before it.
fn ready_comes_late() -> u16 {
    const READY: &[u8] = &[b'Z', 0, 0, 0, 5];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            thread::spawn(move || {
                let far = TcpStream::connect(("127.0.0.1", upstream().port)).unwrap();
                let (mut asked, mut asks) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                // Either side may have gone.
                thread::spawn(move || {
                    let _gone = std::io::copy(&mut asked, &mut asks);
                    let _closed = asks.shutdown(Shutdown::Write);
                });
                let (mut far, mut near, mut buffer) = (far, near, [0; 64 << 10]);
                while let Ok(n @ 1..) = far.read(&mut buffer) {
                    let ready = n.checked_sub(6).filter(|at| buffer[*at..n].starts_with(READY)).unwrap_or(n);
                    let said = near.write_all(&buffer[..ready]);
                    thread::sleep(Duration::from_millis(if ready < n { 30 } else { 0 }));
                    if said.and_then(|()| near.write_all(&buffer[ready..n])).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

/// A client takes the ReadyForQuery behind COMMIT for its word that all of it is there, however late that comes.
#[test]
fn nobody_is_told_committed_before_the_record_that_says_so_is_on_the_disk() {
    // Of the extended protocol, in which the end of COMMIT and the ReadyForQuery are answers to two messages.
    let (calls, gateway) = watched("order_late", "sync", ready_comes_late(), |gateway| {
        let lease = gateway.lease("tester").unwrap();
        let mut client = Raw::log_in(gateway, &lease);
        for sql in ["begin", "insert into pad (t) values ('x')", "commit"] {
            client.send(&[parse("", sql), bind("", ""), execute("", 0), message(b'S', b"")].concat());
            assert_eq!(code(&client.until_ready().unwrap()), None, "{sql}");
        }
    });
    let is_record = |c: &&Call| c.name.starts_with("pwrite") && c.to.ends_with(".seg");
    let settled =
        calls.iter().filter(is_record).find(|c| c.text.contains("committed")).expect("no record of it");
    let synced = calls
        .iter()
        .find(|c| c.name == "fdatasync" && c.to == settled.to && c.good && c.begun > settled.ended)
        .expect("it was never synced");
    let to_client = format!("127.0.0.1:{}->", gateway.site().port);
    let told = calls.iter().rfind(|c| c.to.contains(&to_client) && c.text.contains(r"Z\0\0\0\5I"));
    let told = told.expect("the client was told nothing");
    assert!(
        synced.ended < told.begun,
        "told at line {}, its record's sync returned at {}",
        told.begun,
        synced.ended
    );
}

/// The mutant that shows that the check above can fail; and what such a record says of itself.
#[test]
fn without_the_sync_that_check_fails_and_every_report_says_that_p1_is_not_claimed() {
    let (calls, gateway) = traced("order_os", "os");
    for n in 0..STATEMENTS {
        let judged = judge(&calls, &marker(n), upstream().port, gateway.site().port);
        assert!(judged.is_err(), "statement {n} passes without a sync");
    }
    let site = gateway.site();
    let run = newest_run(site);
    let shown = json(site, &["show", &run, "--json"]);
    let actions = shown["actions"].as_array().unwrap();
    assert_eq!(actions.len(), STATEMENTS);
    assert!(actions.iter().all(|action| action["durability"] == "os"), "{shown}");
    let exported = site.ask(&["export", &run, "--as", "html", "-o", "-"], "").unwrap().out();
    for (what, text) in [
        ("who", json(site, &["who", &run, "--json"])["limits"].to_string()),
        ("exposed", json(site, &["exposed", &run, "--json"])["limits"].to_string()),
        ("the page", exported),
    ] {
        assert!(text.contains("durab"), "{what} does not say it: {text}");
    }
    assert!(gateway.log().contains("P1 is not claimed"));
}

#[test]
fn the_trace_is_read_across_threads() {
    let trace = "7 pwrite64(5</d/0.seg>, \"..m..\", 5, 0 <unfinished ...>\n\
                 8 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"other\", 5, 0, NULL, 0) = 5\n\
                 7 <... pwrite64 resumed>) = 5\n\
                 7 fdatasync(5</d/0.seg>) = 0\n\
                 8 sendto(9<TCP:[127.0.0.1:1->127.0.0.1:2]>, \"m\", 1, 0, NULL, 0) = 1\n\
                 7 pwrite64(5</d/0.seg>, \"..m..\", 5, 5) = 5\n\
                 7 fdatasync(5</d/0.seg> <unfinished ...>\n\
                 7 <... fdatasync resumed>) = 0\n\
                 8 sendto(8<TCP:[127.0.0.1:3->127.0.0.1:4]>, \"m\", 1, 0, NULL, 0) = 1\n";
    assert_eq!(judge(&read(trace), "m", 2, 3), Ok(()));
    for (from, to) in [
        // The sync fails; it is of another file; the answer leaves before its sync has returned.
        ("fdatasync(5</d/0.seg>) = 0", "fdatasync(5</d/0.seg>) = -1 EIO"),
        ("fdatasync(5</d/0.seg>) = 0", "fdatasync(6</d/1.seg>) = 0"),
    ] {
        assert!(judge(&read(&trace.replacen(from, to, 1)), "m", 2, 3).is_err());
    }
    let mut lines: Vec<&str> = trace.lines().collect();
    lines.swap(7, 8);
    assert!(judge(&read(&lines.join("\n")), "m", 2, 3).is_err());
    lines.swap(7, 8);
    lines.swap(3, 4);
    assert!(judge(&read(&lines.join("\n")), "m", 2, 3).is_err());
}
