//! P2: each thing that the gateway needs is killed, filled or stalled in turn. What cannot be recorded or decided is
//! refused, soon, and reaches nobody; what could not be recorded is told as soon as there is a record again.

use crate::people::{operator, waiting};
use crate::raw::{Raw, code, extended, field, query};
use crate::world::{SECRETS, agent, all, eventually, json, newest_run, own, own_site, upstream};
use interop::gateway::{Gateway, Lease, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::{Scratch, is_open, is_root};
use interop::postgres::Postgres;
use interop::process::{finish, signal};
use serde_json::Value;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// P2: a refusal is told within one second.
const SOON: Duration = Duration::from_secs(1);
/// What was admitted before the disk stalled is given five seconds (ARCHITECTURE.md, "Where this differs").
const ADMITTED: Duration = Duration::from_secs(6);

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let done = finish(Command::new(program).args(words), b"", CLIENT_SECONDS_MAX).unwrap();
    if done.status.success() { Ok(()) } else { Err(done.all()) }
}

/// A small file system of its own, on a loop device. A shell that waits for our end thaws and unmounts it, so that it
/// goes even if this process is killed.
pub struct Small {
    keeper: Child,
    // Dropped last, after the file system in it is gone.
    scratch: Scratch,
}

impl Small {
    /// `None` where the machine gives no loop device: only root has them.
    pub fn new(megabytes: u32) -> Option<Small> {
        if !is_root() {
            eprintln!("not root: no small disk, so what fills and stalls one is not tested here");
            return None;
        }
        let scratch = Scratch::new("disk").unwrap();
        let (image, at) = (scratch.path().join("image"), scratch.path().join("at"));
        std::fs::create_dir(&at).unwrap();
        let (image, at) = (image.display().to_string(), at.display().to_string());
        run("truncate", &["-s", &format!("{megabytes}M"), &image]).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", &image]).unwrap();
        run("mount", &["-o", "loop", &image, &at]).unwrap();
        let script = format!("cat; fsfreeze -u {at}; umount {at} || umount -l {at}");
        let mut keeper = Command::new("/bin/sh");
        keeper.args(["-c", &script]).process_group(0).current_dir("/").stdin(Stdio::piped());
        let keeper = keeper.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Some(Small { keeper, scratch })
    }

    pub fn at(&self) -> PathBuf {
        self.scratch.path().join("at")
    }

    /// Every write to it waits until the guard is dropped.
    pub fn freeze(&self) -> Frozen {
        run("fsfreeze", &["-f", &self.at().display().to_string()]).unwrap();
        Frozen(self.at())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }
}

pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        run("fsfreeze", &["-u", &self.0.display().to_string()]).unwrap();
    }
}

/// A gateway whose data is on the small disk.
fn on(disk: &Small, database: &str) -> Gateway {
    let site = own_site(database, |plan| {
        plan.resource_lines = "reel = \"full\"".to_owned();
        plan.gateway_lines = format!("data = \"{}\"", disk.at().join("data").display());
    });
    // Keys and sockets stay where they were.
    site.edit("durability", "keys = \"./tacho-keys\"\ncontrol = \"./tacho-run/control.sock\"\ndurability")
        .unwrap();
    site.up().unwrap()
}

fn rows(database: &str) -> u64 {
    upstream().admin(database, "SELECT count(*) FROM pad").unwrap().parse().unwrap()
}

const INSERT: &str = "INSERT INTO pad (t) VALUES ('x')";

/// Fills the small disk to its last block. Dropped, there is room again.
pub struct Full(PathBuf);

impl Full {
    pub fn new(disk: &Small) -> Full {
        let filler = disk.at().join("filler");
        let _until_it_is_full = run("dd", &["if=/dev/zero", &format!("of={}", filler.display()), "bs=1M"]);
        Full(filler)
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_full_disk_admits_nothing_new_and_room_again_does() {
    let Some(disk) = Small::new(270) else { return };
    // Room for the first segment, and none for the one after it.
    let filler = disk.at().join("filler");
    run("fallocate", &["-l", "193M", &filler.display().to_string()]).unwrap();
    let gateway = on(&disk, "full_disk");
    let refused = agent(&gateway, "psql -X -c 'select 1'");
    assert_eq!(
        refused.status.code(),
        Some(3),
        "a run was minted without room for its record: {}",
        refused.all()
    );
    assert!(refused.out().is_empty(), "{}", refused.all());
    let status = json(gateway.site(), &["status", "--json"]);
    assert!(status["alarms"].to_string().contains("nothing new is admitted"), "{status}");
    std::fs::remove_file(&filler).unwrap();
    let lease = eventually("it is admitted again", || gateway.lease("tester").ok());
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(code(&client.query(INSERT).unwrap()), None);
    if all() {
        fills_up_under_sessions(&disk, &gateway, &lease, &mut client);
    }
    drop((client, lease));
    let site = gateway.stop();
    let verified = site.ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}

/// The long way, twice. Answers go onto the reel until the current segment is used up and there is no other: what is left
/// is for outcomes, and what is asked is refused. And one answer that is longer than all that is left is cut.
fn fills_up_under_sessions(disk: &Small, gateway: &Gateway, lease: &Lease, client: &mut Raw) {
    const WHOLE: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 160000)";
    const PART: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 8000)";
    let begun = Instant::now();
    let spare = disk.at().join("data/ledger/segment/next.spare");
    // Each is cut with its refusal.
    let sessions = || -> Vec<Raw> { ASKED.iter().map(|_| Raw::log_in(gateway, lease)).collect() };

    let quiet = sessions();
    eventually("a spare segment", || spare.exists().then_some(()));
    let full = Full::new(disk);
    let refused = eventually("nothing is refused", || {
        let answer = client.query(PART).unwrap();
        let rows = answer.iter().filter(|(kind, _)| *kind == b'D').count();
        let refused = code(&answer);
        assert_eq!(rows, if refused.is_some() { 0 } else { 8000 }, "{refused:?}");
        refused
    });
    assert_eq!(refused, "58030");
    refuses_everything(gateway, lease, quiet);
    drop(full);
    *client = eventually("it is admitted again", || log_in(gateway, lease).ok());
    goes_on(client);

    let quiet = sessions();
    eventually("a spare segment", || spare.exists().then_some(()));
    let full = Full::new(disk);
    client.send(&query(WHOLE));
    client.read_to_end();
    let (rows, told) = what_came(&client.seen);
    assert!(rows > 8000 && told.last().is_some_and(|told| told == "08007"), "{rows} rows, then {told:?}");
    refuses_everything(gateway, lease, quiet);
    drop(full);
    *client = eventually("it is admitted again", || log_in(gateway, lease).ok());
    goes_on(client);
    // Of what was refused meanwhile there is a record now.
    let said = gateway.site().ask(&["exposed", lease.variable("TACHO_RUN"), "--json"], "").unwrap();
    assert!(said.out().contains("\"gap\""), "{}", said.all());
    assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
}

const ASKED: &[&str] = &[INSERT, "SELECT * FROM customers", "SELECT 1", "BEGIN"];

fn log_in(gateway: &Gateway, lease: &Lease) -> Result<Raw, String> {
    Raw::log_in_as(gateway.site().port, lease.user(), lease.password(), lease.variable("PGDATABASE"))
}

/// Nothing new is admitted: neither effect nor answer, session nor run. `quiet`: sessions that began before.
fn refuses_everything(gateway: &Gateway, lease: &Lease, mut quiet: Vec<Raw>) {
    let before = rows("full_disk");
    for (n, (client, statement)) in quiet.iter_mut().zip(ASKED).enumerate() {
        let from = client.seen.len();
        client.send(&if n % 2 == 0 { query(statement) } else { extended(statement, &[]) });
        client.read_to_end();
        let answer = what_came(&client.seen[from..]);
        assert_eq!(answer, (0, vec!["58030".to_owned()]), "{statement}");
    }
    assert_eq!(rows("full_disk"), before, "a statement went upstream without its record");
    assert!(log_in(gateway, lease).is_err(), "a session began without room for its record");
    let done = agent(gateway, "psql -X -At -c 'select 1'");
    assert!(done.status.code() == Some(3) && done.out().is_empty(), "{}", done.all());
}

fn goes_on(client: &mut Raw) {
    let before = rows("full_disk");
    assert_eq!(code(&client.query(INSERT).unwrap()), None);
    assert_eq!(rows("full_disk"), before + 1);
    let seen = client.query("SELECT * FROM customers").unwrap();
    assert!(code(&seen).is_none() && seen.iter().any(|(kind, _)| *kind == b'D'));
    let seen = String::from_utf8_lossy(&client.seen);
    assert!(SECRETS.iter().all(|secret| !seen.contains(secret)), "{seen}");
}

/// Rows in what a client got, and the code of each error.
fn what_came(mut seen: &[u8]) -> (usize, Vec<String>) {
    let (mut rows, mut told) = (0, Vec::new());
    while let Some((head, rest)) = seen.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let Some((body, after)) = rest.split_at_checked(length) else { break };
        rows += usize::from(head[0] == b'D');
        told.extend((head[0] == b'E').then(|| field(body, b'C')));
        seen = after;
    }
    (rows, told)
}

#[test]
fn a_disk_that_stalls_stalls_nobody_for_long_and_nothing_goes_upstream_meanwhile() {
    let Some(disk) = Small::new(170) else { return };
    let gateway = on(&disk, "stalled_disk");
    let lease = gateway.lease("tester").unwrap();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Raw::log_in(&gateway, &lease));
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(code(&client.query(INSERT).unwrap()), None);
    }
    let before = rows("stalled_disk");
    let frozen = disk.freeze();
    // The first is admitted, since nothing shows yet that the disk has stalled, and waits for its record in vain.
    let sent = Instant::now();
    first.send(&query(INSERT));
    std::thread::sleep(Duration::from_secs(1));
    for (client, statement) in
        [(&mut second, "INSERT INTO pad (t) VALUES ('late')"), (&mut third, "DROP TABLE orders")]
    {
        let begun = Instant::now();
        let refused = code(&client.query(statement).unwrap());
        assert!(begun.elapsed() < SOON, "{statement}: {:?}", begun.elapsed());
        assert_eq!(refused.as_deref(), Some("58030"), "{statement}");
    }
    let refused = code(&first.until_ready().unwrap());
    assert_eq!(refused.as_deref(), Some("58030"), "it went through without a record");
    assert!(sent.elapsed() < ADMITTED, "{:?}", sent.elapsed());
    assert_eq!(rows("stalled_disk"), before, "a statement went upstream without its record");
    drop(frozen);
    eventually("it goes on", || {
        let mut client = log_in(&gateway, &lease).ok()?;
        code(&client.query(INSERT).unwrap()).is_none().then_some(())
    });
    // Both refusals are in the record now.
    let run = lease.variable("TACHO_RUN").to_owned();
    let shown = json(gateway.site(), &["show", &run, "--json"]);
    let refused = refusals(&shown);
    assert_eq!(
        refused,
        [("INSERT INTO pad (t) VALUES ('?')", "58030"), ("DROP TABLE orders", "42501")],
        "{shown}"
    );
    drop((first, second, third, lease));
    let site = gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

/// Statements that were refused, and with which code, in the order of their records.
fn refusals(shown: &Value) -> Vec<(&str, &str)> {
    match shown {
        Value::Array(all) => all.iter().flat_map(refusals).collect(),
        Value::Object(map) if map.contains_key("refusals") => {
            let statement = shown["statement"].as_str().unwrap();
            let codes = shown["refusals"].as_array().unwrap().iter();
            codes.map(|refusal| (statement, refusal["code"].as_str().unwrap())).collect()
        }
        Value::Object(map) => map.values().flat_map(refusals).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_policy_that_is_broken_when_it_is_read_again_changes_nothing() {
    let gateway = own("broken_policy", |plan| plan.durability = "os".to_owned());
    let rules = gateway.site().dir().join("policy/rules.cedar");
    let good = std::fs::read_to_string(&rules).unwrap();
    for broken in [
        "permit (principal, action, resource",
        "permit (principal, action == Action::\"raed\", resource);",
        "\u{0}",
    ] {
        std::fs::write(&rules, broken).unwrap();
        let said = gateway.log().matches("the policy in force stays").count();
        gateway.signal("HUP");
        eventually("the gateway says that it keeps the old one", || {
            (gateway.log().matches("the policy in force stays").count() > said).then_some(())
        });
        let done = agent(&gateway, "psql -X -At -c 'select 1' -c 'drop table orders'");
        assert!(done.out() == "1\n" && done.err().contains("no-define"), "{}", gateway.explain(&done));
    }
    // Gone altogether is no policy either, and no policy is not "everything".
    std::fs::remove_file(&rules).unwrap();
    gateway.signal("HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(agent(&gateway, "psql -X -c 'drop table orders'").err().contains("no-define"));
    std::fs::write(&rules, good).unwrap();
    let site = gateway.stop();
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

/// A gateway before an upstream of the test's own, which it may stop.
fn before(server: &Postgres, database: &str) -> Site {
    crate::world::fill(server, database);
    let plan = interop::gateway::Plan {
        database: database.to_owned(),
        durability: "os".to_owned(),
        ..crate::world::plan()
    };
    Site::new(&plan, server).unwrap()
}

#[test]
fn an_upstream_that_is_down_or_stalls_is_told_in_its_own_words_and_recorded() {
    let server = Postgres::start().unwrap();
    let gateway = before(&server, "stalled").up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let mut other = Raw::log_in(&gateway, &lease);
    assert_eq!(code(&client.query("SELECT 1").unwrap()), None);
    let backends =
        server.admin("stalled", "SELECT pid FROM pg_stat_activity WHERE usename = 'crm_app'").unwrap();
    backends.lines().for_each(|pid| signal(pid, "STOP"));
    // What policy refuses needs no word of upstream's where nothing is open there.
    for refused in [
        query("DROP TABLE orders"),
        query("SELECT 1; DROP TABLE orders"),
        extended("DROP TABLE orders", &[]),
        query("SELECT FROM WHERE"),
    ] {
        let begun = Instant::now();
        client.send(&refused);
        let answer = client.until_ready().unwrap();
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert!(matches!(code(&answer).as_deref(), Some("42501" | "42601")), "{answer:?}");
        assert_eq!(answer.last().unwrap(), &(b'Z', b"I".to_vec()));
    }
    // And upstream has missed nothing.
    backends.lines().for_each(|pid| signal(pid, "CONT"));
    assert_eq!(code(&client.query("SELECT 1").unwrap()), None);
    client.send(&extended("SELECT count(*) FROM orders", &[]));
    assert_eq!(code(&client.until_ready().unwrap()), None);
    backends.lines().for_each(|pid| signal(pid, "STOP"));
    // A statement that hangs upstream is cut at once when its run is revoked.
    other.send(&query("SELECT * FROM customers"));
    std::thread::sleep(Duration::from_millis(300));
    let admin = operator(&gateway, "root-of-good", "admin", "none");
    let begun = Instant::now();
    let said = crate::people::with_token(
        &gateway,
        &admin,
        &["runs", "revoke", lease.variable("TACHO_RUN"), "--reason", "hangs"],
    );
    other.read_to_end();
    assert!(begun.elapsed() < Duration::from_secs(7), "{:?} {}", begun.elapsed(), said.all());
    client.read_to_end();
    backends.lines().for_each(|pid| signal(pid, "CONT"));
    let seen = String::from_utf8_lossy(&[&client.seen[..], &other.seen].concat()).into_owned();
    assert!(SECRETS.iter().all(|secret| !seen.contains(secret)), "{seen}");

    // It goes, and what the configuration names of it stays: an agent could write a CA's certificate that is missing.
    signal(&server.pid().to_string(), "INT");
    eventually("the server is down", || (!is_open(server.port)).then_some(()));
    let begun = Instant::now();
    let done = agent(&gateway, "psql -X -At -c 'select 1'");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert!(done.out().is_empty() && done.err().contains("cannot be reached"), "{}", gateway.explain(&done));
    let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    assert!(shown["notes"].to_string().contains("cannot be reached"), "{shown}");
    let status = json(gateway.site(), &["status", "--json"]);
    assert!(
        status["resources"][0]["up"] == false && status["alarms"].to_string().contains("upstream"),
        "{status}"
    );
}

/// Nobody can answer: the data path goes on, and what asks is refused when its time is over.
#[test]
fn a_console_that_is_taken_up_whole_stops_no_statement_and_approves_none() {
    let gateway = own("console_down", |plan| {
        plan.durability = "os".to_owned();
        plan.gateway_lines = "approval_timeout = \"4s\"".to_owned();
    });
    let lead = operator(&gateway, "lena", "approver", "leads");
    let (tester, asker) = (gateway.lease("tester").unwrap(), gateway.lease("asker").unwrap());
    let mut client = Raw::log_in(&gateway, &tester);
    let console = gateway.site().console;
    let taken: Vec<TcpStream> =
        (0..400).filter_map(|_| TcpStream::connect(("127.0.0.1", console)).ok()).collect();
    assert!(taken.len() > 100);
    let begun = Instant::now();
    assert_eq!(code(&client.query("SELECT count(*) FROM orders").unwrap()), None);
    assert_eq!(code(&client.query("DROP TABLE orders").unwrap()).as_deref(), Some("42501"));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let mut asking = Raw::log_in(&gateway, &asker);
    asking.send(&query("UPDATE orders SET note = 'unseen' WHERE id = 1"));
    // People on the gateway's own socket are not kept out by those on the port.
    let _ask = waiting(&gateway, &lead, "orders");
    let begun = Instant::now();
    assert_eq!(code(&asking.until_ready().unwrap()).as_deref(), Some("42501"));
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(upstream().admin("console_down", "SELECT note FROM orders WHERE id = 1").unwrap(), "");
    drop(taken);
}

/// A port that somebody else has is told at the start, and nothing half-started stays behind.
#[test]
fn a_port_that_is_taken_is_a_gateway_that_does_not_start() {
    let site = own_site("taken_port", |plan| plan.durability = "os".to_owned());
    let taken = std::net::TcpListener::bind(("127.0.0.1", site.console)).unwrap();
    let mut up = site.tacho();
    let done = finish(up.arg("up").env("CRM_PASSWORD", "x"), b"", CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(done.status.code(), Some(3), "{}", done.all());
    assert!(
        done.err().contains(&site.console.to_string()) && done.err().contains("console"),
        "{}",
        done.all()
    );
    drop(taken);
    assert!(!Path::new(&site.dir().join("tacho-run/control.sock")).exists());
    let gateway = site.up().unwrap();
    assert_eq!(agent(&gateway, "psql -X -At -c 'select 1'").out(), "1\n");
}
