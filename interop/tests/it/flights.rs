//! What a client sends at once, and what fails or ends in the middle of it, is as at the server itself.

use crate::names::{ask, bind, cells, close, execute, flight, parse};
use crate::raw::{Message, Raw, code, message, query};
use crate::world::{eventually, fill, json, own, plan, upstream};
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::postgres::Postgres;
use interop::process::signal;
use std::io::Write;
use std::net::{Shutdown, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

fn gateway(database: &str) -> (Gateway, Lease) {
    let gateway = own(database, |plan| plan.durability = "os".to_owned());
    let lease = gateway.lease("tester").unwrap();
    (gateway, lease)
}

/// The same, and everything is permitted.
fn open(database: &str) -> (Gateway, Lease) {
    let gateway = own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.policy = r#"@id("all") permit (principal, action, resource);"#.to_owned();
    });
    let lease = gateway.lease("tester").unwrap();
    (gateway, lease)
}

fn sync() -> Vec<u8> {
    message(b'S', b"")
}

/// A Bind of one text to the unnamed portal.
fn bind_text(name: &str, value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    let head = [b"\0", name.as_bytes(), b"\0\0\0\0\x01"].concat();
    message(b'B', &[&head[..], &length, value.as_bytes(), b"\0\0"].concat())
}

fn many(answer: &[Message], kind: u8) -> usize {
    answer.iter().filter(|(of, _)| *of == kind).count()
}

#[test]
fn a_statement_outlives_the_failure_of_what_uses_it_and_a_close_that_was_skipped() {
    let (gateway, lease) = gateway("outlives");
    let mut client = Raw::log_in(&gateway, &lease);
    let divide = "SELECT 1 / $1::int";
    // In one flight with its Parse, and once more.
    for given in [vec![parse("k", divide)], vec![]] {
        let failing = [given, vec![bind_text("k", "0"), execute("", 0)]].concat();
        assert_eq!(flight(&mut client, &failing).as_deref(), Some("22012"));
        client.send(&[bind_text("k", "1"), execute("", 0), sync()].concat());
        let answer = client.until_ready().unwrap();
        assert_eq!((code(&answer), cells(&answer)), (None, vec!["1".to_owned()]));
    }
    assert_eq!(flight(&mut client, &[parse("k", "SELECT 2")]).as_deref(), Some("42P05"));
    // The same of one without a name.
    let failing = [parse("", divide), bind_text("", "0"), execute("", 0)];
    assert_eq!(flight(&mut client, &failing).as_deref(), Some("22012"));
    assert_eq!(flight(&mut client, &[bind_text("", "1"), execute("", 0)]), None);
    // A Close behind an error is skipped, and what is given the name behind that as well.
    for skipped in [vec![close(b'S', "k")], vec![close(b'S', "k"), parse("k", "SELECT 3")]] {
        let failing = [vec![parse("", "SELECT nothing_of_this_name")], skipped].concat();
        assert_eq!(flight(&mut client, &failing).as_deref(), Some("42703"));
        client.send(&[bind_text("k", "1"), execute("", 0), sync()].concat());
        let answer = client.until_ready().unwrap();
        assert_eq!((code(&answer), cells(&answer)), (None, vec!["1".to_owned()]));
    }
    // A Close before it is none that was skipped.
    let failing = [close(b'S', "k"), parse("", "SELECT nothing_of_this_name")];
    assert_eq!(flight(&mut client, &failing).as_deref(), Some("42703"));
    assert_eq!(flight(&mut client, &[bind_text("k", "1"), execute("", 0)]).as_deref(), Some("26000"));
    assert_eq!(flight(&mut client, &[parse("k", "SELECT 4"), bind("", "k"), execute("", 0)]), None);
    // One that was never there is not there.
    let failing = [parse("l", "SELECT nothing_of_this_name"), close(b'S', "l")];
    assert_eq!(flight(&mut client, &failing).as_deref(), Some("42703"));
    assert_eq!(flight(&mut client, &[parse("l", "SELECT 5"), bind("", "l"), execute("", 0)]), None);
}

/// What stands under a name upstream is what was decided, in whichever order its givings, closings and failures come.
#[test]
fn what_a_name_stands_for_behind_failures_in_one_go_is_what_was_decided() {
    let (gateway, lease) = gateway("one_go");
    let mut client = Raw::log_in(&gateway, &lease);
    assert_eq!(flight(&mut client, &[parse("k", "SELECT 'first'")]), None);
    let wrong = parse("", "SELECT nothing_of_this_name");
    let uses = [bind("", "k"), execute("", 0), sync()].concat();
    // The second flight closes and gives again what the first, which fails, has closed.
    let first = [wrong.clone(), close(b'S', "k"), sync()].concat();
    let second = [close(b'S', "k"), parse("k", "SELECT 'second'"), sync()].concat();
    client.send(&[first.clone(), second, uses.clone()].concat());
    let answers = [0; 3].map(|_| client.until_ready().unwrap());
    assert_eq!(answers.each_ref().map(|answer| code(answer)), [Some("42703".to_owned()), None, None]);
    assert_eq!(cells(&answers[2]), ["second"]);
    // Here the name is still taken.
    client.send(&[first, parse("k", "SELECT 'third'"), sync(), uses].concat());
    let answers = [0; 3].map(|_| client.until_ready().unwrap());
    assert_eq!(code(&answers[1]).as_deref(), Some("42P05"));
    assert_eq!(cells(&answers[2]), ["second"]);
    assert_eq!(ask(&mut client, "SELECT count(*) FROM pg_prepared_statements WHERE name = 'k'"), ["1"]);
}

#[test]
fn a_bind_whose_formats_are_wrong_is_an_error_and_no_end() {
    let (gateway, lease) = gateway("formats");
    let mut client = Raw::log_in(&gateway, &lease);
    let one = |formats: &[u8]| message(b'B', &[b"\0s\0", formats, b"\0\x01\0\0\0\x011\0\0"].concat());
    assert_eq!(flight(&mut client, &[parse("s", "SELECT $1::int")]), None);
    for (formats, expect) in [(&b"\0\x01\0\x02"[..], "22023"), (b"\0\x02\0\0\0\0", "08P01")] {
        assert_eq!(flight(&mut client, &[one(formats), execute("", 0)]).as_deref(), Some(expect));
        assert_eq!(flight(&mut client, &[one(b"\0\0"), execute("", 0)]), None);
    }
    // A Parse that is refused takes the place of the unnamed one, as one that fails does.
    assert_eq!(flight(&mut client, &[parse("", "SELECT 1")]), None);
    assert_eq!(flight(&mut client, &[parse("", "DROP TABLE orders")]).as_deref(), Some("42501"));
    assert_eq!(flight(&mut client, &[bind("", "")]).as_deref(), Some("26000"));
}

#[test]
fn a_client_that_is_far_ahead_of_the_database_waits_and_is_not_cut() {
    let (gateway, lease) = open("far_ahead");
    let mut client = Raw::log_in(&gateway, &lease);
    let n = 70_000;
    let describe = message(b'D', b"Ss\0");
    let mut all = [parse("s", "SELECT 1"), parse("w", "SELECT pg_sleep(1)")].concat();
    all.extend([bind("", "w"), execute("", 0), describe.repeat(n), sync()].concat());
    let mut writer = client.stream.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&all));
    let answer = client.until_ready().unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!((code(&answer), many(&answer, b't')), (None, n));
    // The same of what is executed.
    let n = 5_200;
    let one = [[bind("", "s"), message(b'D', b"P\0")].concat().repeat(6), execute("", 0)].concat();
    let mut all = [bind("", "w"), execute("", 0)].concat();
    all.extend([one.repeat(n), sync()].concat());
    let mut writer = client.stream.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&all));
    let answer = client.until_ready().unwrap();
    writing.join().unwrap().unwrap();
    assert_eq!((code(&answer), many(&answer, b'C')), (None, n + 1));
}

#[test]
fn what_stands_behind_a_copy_in_one_query_is_carried_out_behind_its_data() {
    let (gateway, lease) = gateway("behind_copy");
    let mut client = Raw::log_in(&gateway, &lease);
    let data = |client: &mut Raw, rows: &str| {
        client.send(&[message(b'd', rows.as_bytes()), message(b'c', b"")].concat());
    };
    let rows = |like: &str| {
        let sql = format!("SELECT count(*) FROM pad WHERE t LIKE '{like}'");
        upstream().admin("behind_copy", &sql).unwrap()
    };
    client.send(&query("COPY pad (t) FROM STDIN; SELECT 'behind'"));
    data(&mut client, "a1\na2\n");
    let answer = client.until_ready().unwrap();
    assert_eq!((code(&answer), cells(&answer)), (None, vec!["behind".to_owned()]));
    assert_eq!((many(&answer, b'C'), rows("a%")), (2, "2".to_owned()));
    client.send(&query("BEGIN; COPY pad (t) FROM STDIN; COMMIT"));
    data(&mut client, "b1\n");
    assert_eq!(client.until_ready().unwrap().last().unwrap(), &(b'Z', b"I".to_vec()));
    assert_eq!(rows("b%"), "1");
    // As psql sends them, one behind the other.
    client.send(&query("COPY pad (t) FROM STDIN; COPY pad (t) FROM STDIN"));
    data(&mut client, "c1\n");
    data(&mut client, "c2\n");
    let answer = client.until_ready().unwrap();
    assert_eq!((code(&answer), many(&answer, b'G'), rows("c%")), (None, 2, "2".to_owned()));
    // What fails takes all with it, and the session goes on: by its data, by the client, by what stands behind.
    client.send(&query("COPY pad (t) FROM STDIN; SELECT 1"));
    data(&mut client, "d1\ttoo many\n");
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("22P04"));
    client.send(&query("COPY pad (t) FROM STDIN; SELECT 1"));
    client.send(&[message(b'd', b"d1\n"), message(b'f', b"no\0")].concat());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("57014"));
    client.send(&query("COPY pad (t) FROM STDIN; SELECT 1 / (SELECT 0)"));
    data(&mut client, "d1\n");
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("22012"));
    assert_eq!(ask(&mut client, "SELECT count(*) FROM pad WHERE t LIKE 'd%'"), ["0"]);
}

/// Notices are told as they come: those of a statement, and those of its transaction's end.
#[test]
fn notices_leave_as_they_come_and_are_not_gathered() {
    let (gateway, lease) = open("notices");
    let tells = "CREATE FUNCTION tells() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 FOR n IN 1..20000 LOOP RAISE NOTICE 'told % %', n, repeat('x', 80); END LOOP; \
                 PERFORM pg_sleep(1.5); RETURN NULL; END $$; \
                 CREATE TABLE now (n int); CREATE TABLE later (n int); \
                 GRANT INSERT ON now, later TO crm_app; \
                 CREATE TRIGGER t AFTER INSERT ON now FOR EACH ROW EXECUTE FUNCTION tells(); \
                 CREATE CONSTRAINT TRIGGER t AFTER INSERT ON later DEFERRABLE INITIALLY DEFERRED \
                 FOR EACH ROW EXECUTE FUNCTION tells()";
    upstream().admin("notices", tells).unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for table in ["now", "later"] {
        client.send(&query(&format!("INSERT INTO {table} VALUES (1)")));
        let begun = Instant::now();
        while client.message().unwrap().0 != b'N' {}
        let first = begun.elapsed();
        let answer = client.until_ready().unwrap();
        assert_eq!((code(&answer), many(&answer, b'N')), (None, 19_999), "{table}");
        assert!(begun.elapsed() - first > Duration::from_secs(1), "{table}: {first:?} {:?}", begun.elapsed());
    }
}

/// A login that ended for a reason of the gateway's: the reason.
fn refused(gateway: &Gateway, lease: &Lease) -> String {
    let database = lease.variable("PGDATABASE");
    Raw::log_in_as(gateway.site().port, lease.user(), lease.password(), database).err().unwrap_or_default()
}

fn before(server: &Postgres, database: &str) -> Site {
    fill(server, database);
    let plan = Plan { database: database.to_owned(), durability: "os".to_owned(), ..plan() };
    Site::new(&plan, server).unwrap()
}

/// Those who wait for a catalog that nobody says are told so, all of them, and the next may come.
#[test]
fn a_catalog_that_is_not_said_is_waited_for_for_a_while() {
    let server = Postgres::start().unwrap();
    let gateway = before(&server, "unsaid").up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    // Whoever reads the catalog waits for this.
    let mut locks = server.admin_psql("unsaid");
    locks.args(["-c", "BEGIN; LOCK TABLE pg_catalog.pg_extension; SELECT pg_sleep(600)"]);
    let mut locks = locks.spawn().unwrap();
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
                  AND relation = 'pg_catalog.pg_extension'::regclass";
    eventually("the lock is taken", || (server.admin("postgres", locked).unwrap() != "0").then_some(()));
    let begun = Instant::now();
    let said: Vec<String> = thread::scope(|scope| {
        let all: Vec<_> = (0..3).map(|_| scope.spawn(|| refused(&gateway, &lease))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert!(said.iter().all(|said| said.starts_with("08001")), "{said:?}");
    let shown = json(gateway.site(), &["show", lease.variable("TACHO_RUN"), "--json"]);
    assert!(shown["notes"].to_string().contains("its catalog cannot be read"), "{shown}");
    signal(&locks.id().to_string(), "KILL");
    locks.wait().unwrap();
    let ends = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()";
    server.admin("postgres", ends).unwrap();
    assert_eq!(ask(&mut Raw::log_in(&gateway, &lease), "SELECT 1"), ["1"]);
}

/// A server that lets everybody in, and reports this again and again.
fn reports(parameter: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let parameter = parameter.clone();
            thread::spawn(move || {
                let mut sent = stream.write_all(&message(b'R', &[0; 4]));
                while sent.is_ok() {
                    sent = stream.write_all(&parameter);
                }
            });
        }
    });
    port
}

#[test]
fn what_an_upstream_reports_at_login_is_bounded() {
    for length in [1, 70_000] {
        let parameter = message(b'S', &[b"x\0", &vec![b'y'; length][..], b"\0"].concat());
        let plan = Plan { durability: "os".to_owned(), ..plan() };
        let site = Site::new(&plan, upstream()).unwrap();
        site.reach(&format!("crm_app@127.0.0.1:{}/crm?sslmode=disable", reports(parameter))).unwrap();
        let gateway = site.up().unwrap();
        let lease = gateway.lease("tester").unwrap();
        let said = refused(&gateway, &lease);
        assert!(said.starts_with("08P01"), "{said}");
    }
}

/// As the server does with what stood before it.
#[test]
fn what_stands_before_the_end_of_a_connection_is_carried_out() {
    let (gateway, lease) = open("before_end");
    let rows = |like: &str| {
        let sql = format!("SELECT count(*) FROM pad WHERE t = '{like}'");
        upstream().admin("before_end", &sql).unwrap()
    };
    let insert = |like: &str| query(&format!("INSERT INTO pad (t) VALUES ('{like}')"));
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[insert("one"), insert("two"), message(b'X', b"")].concat());
    client.read_to_end();
    assert_eq!((rows("one"), rows("two")), ("1".to_owned(), "1".to_owned()));
    // A client that only reads from now on has its answers.
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[insert("three"), insert("four")].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..2 {
        assert_eq!(code(&client.until_ready().unwrap()), None);
    }
    client.read_to_end();
    assert_eq!((rows("three"), rows("four")), ("1".to_owned(), "1".to_owned()));
    // One that is gone.
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&insert("five"));
    drop(client);
    eventually("it is carried out", || (rows("five") == "1").then_some(()));
    // Without a Sync nothing of it stands, there as here.
    let mut client = Raw::log_in(&gateway, &lease);
    let six = parse("", "INSERT INTO pad (t) VALUES ('six')");
    client.send(&[six, bind("", ""), execute("", 0), message(b'X', b"")].concat());
    let begun = Instant::now();
    client.read_to_end();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(rows("six"), "0");
    // What takes too long is stopped, and what waited behind it was not sent.
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&[query("SELECT pg_sleep(60)"), insert("seven"), message(b'X', b"")].concat());
    let begun = Instant::now();
    client.read_to_end();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND usename = 'crm_app'";
    eventually("it is stopped", || (upstream().admin("before_end", running).unwrap() == "0").then_some(()));
}
