//! P10: the upstream proves who it is, or nothing is sent to it: no credential, no startup message, no statement.

use crate::people::{operator, with_token};
use crate::raw::{Raw, query};
use crate::world::{UPSTREAM_PASSWORD, agent, fill, json, newest_run, plan};
use interop::gateway::{Gateway, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::Scratch;
use interop::postgres::Postgres;
use interop::process::{finish, signal};
use interop::tls::Authority;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// What a client got to hear, and what the record says of it.
pub fn refused(gateway: &Gateway, what: &str) -> String {
    let done = agent(gateway, "psql -X -At -c 'select 1'");
    assert!(!done.status.success(), "{what}: {}", done.all());
    assert!(done.out().is_empty(), "{what}: {}", done.all());
    let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    let notes = shown["notes"].to_string();
    assert!(notes.contains("not-connected"), "{what} is not in the record: {shown}");
    let status = json(gateway.site(), &["status", "--json"]);
    assert_eq!(status["resources"][0]["up"], false, "{what}: {status}");
    done.err()
}

/// Puts another certificate into a running server.
fn present(server: &Postgres, (certificate, key): &(PathBuf, PathBuf)) {
    let owner = std::fs::metadata(server.dir().join("data")).unwrap();
    for (from, to) in [(certificate, "server.crt"), (key, "server.key")] {
        let to = server.dir().join(to);
        std::fs::write(&to, std::fs::read(from).unwrap()).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    signal(&server.pid().to_string(), "HUP");
    thread::sleep(Duration::from_millis(300));
}

fn check_fails(site: &Site, what: &str) {
    let checked = site.check().unwrap();
    assert!(
        matches!(checked.status.code(), Some(1 | 3)),
        "{what}: tacho check is content: {}",
        checked.all()
    );
}

#[test]
fn a_certificate_that_does_not_prove_the_upstream_is_refused() {
    let server = Postgres::start().unwrap();
    fill(&server, "proved");
    let plan =
        interop::gateway::Plan { database: "proved".to_owned(), durability: "os".to_owned(), ..plan() };
    let mut site = Site::new(&plan, &server).unwrap();
    let (ours, theirs) = (Scratch::new("ours").unwrap(), Scratch::new("theirs").unwrap());
    let stranger = Authority::new(theirs.path()).unwrap();
    // The server's own authority: its key is in the server's directory.
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(server.dir().join(file), ours.path().join(file)).unwrap();
    }
    let known = Authority::of(ours.path());
    let good = known.sign("good", "DNS:localhost,IP:127.0.0.1").unwrap();
    let names = "DNS:localhost,IP:127.0.0.1";
    let cases = [
        ("a self-signed certificate", stranger.self_signed("alone", names).unwrap()),
        ("another authority's certificate", stranger.sign("other", names).unwrap()),
        (
            "a certificate for another name",
            known.sign("elsewhere", "DNS:db.example.com,IP:10.1.2.3").unwrap(),
        ),
        ("an expired certificate", known.sign_expired("expired", names).unwrap()),
    ];
    for (what, pair) in &cases {
        present(&server, pair);
        check_fails(&site, what);
        let gateway = site.up().unwrap();
        let said = refused(&gateway, what);
        assert!(said.contains("FATAL") && !said.contains(UPSTREAM_PASSWORD), "{what}: {said}");
        // The certificate comes right again: so does everything else, without a restart.
        present(&server, &good);
        let done = agent(&gateway, "psql -X -At -c 'select 1'");
        assert_eq!(done.out(), "1\n", "{what}: {}", gateway.explain(&done));
        // And changes under a gateway that was content: the next session sees it.
        present(&server, pair);
        let done = agent(&gateway, "psql -X -At -c 'select 1'");
        assert!(!done.status.success(), "{what}, later: {}", done.all());
        present(&server, &good);
        site = gateway.stop();
    }
}

/// An upstream of the test's own making: accepts, reads what comes first, answers, and tells what came after.
pub fn pretender(answer: &'static [u8]) -> (u16, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let tell = tell.clone();
            thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut first = [0; 8];
                if stream.read_exact(&mut first).is_err() || stream.write_all(answer).is_err() {
                    return;
                }
                let (mut after, mut buffer) = (first.to_vec(), [0; 4096]);
                loop {
                    match stream.read(&mut buffer) {
                        Ok(n @ 1..) => after.extend_from_slice(&buffer[..n]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Ok(0) | Err(_) => break,
                    }
                }
                // The test may have seen enough.
                let _over = tell.send(after);
            });
        }
    });
    (port, told)
}

#[test]
fn a_no_to_tls_and_bytes_before_tls_end_the_connection_with_nothing_said() {
    const SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
    let upstream = crate::world::upstream();
    for (what, answer) in [
        ("a no", &b"N"[..]),
        ("a yes with bytes behind it", b"SE\0\0\0\x08C1\0\0"),
        ("an error with text", b"E\0\0\0\x20SFATAL\0C28000\0Mgo away in clear\0\0"),
        ("neither yes nor no", b"X"),
    ] {
        let (port, told) = pretender(answer);
        let plan = interop::gateway::Plan { durability: "os".to_owned(), ..plan() };
        let site = Site::new(&plan, upstream).unwrap();
        let ca = upstream.ca().unwrap();
        site.reach(&format!("crm_app@localhost:{port}/crm?sslmode=verify-full&sslrootcert={}", ca.display()))
            .unwrap();
        check_fails(&site, what);
        let gateway = site.up().unwrap();
        let said = refused(&gateway, what);
        assert!(!said.contains("go away in clear"), "an unproved upstream's words reach the client: {said}");
        let mut seen = 0;
        while let Ok(bytes) = told.recv_timeout(Duration::from_millis(500)) {
            assert_eq!(bytes, SSL_REQUEST, "{what}: the gateway went on");
            seen += 1;
        }
        assert!(seen >= 2, "{what}: the gateway never knocked");
    }
}

/// There is no way to say "TLS if you like".
#[test]
fn no_configuration_prefers_or_allows() {
    let upstream = crate::world::upstream();
    let site = Site::new(&plan(), upstream).unwrap();
    for mode in ["prefer", "allow", "require", "PREFER", ""] {
        site.reach(&format!("crm_app@localhost:{}/crm?sslmode={mode}", upstream.port)).unwrap();
        let said = site.ask(&["check", "--offline"], "").unwrap();
        assert_eq!(said.status.code(), Some(2), "sslmode={mode}: {}", said.all());
        assert!(said.err().contains("tacho.toml:"), "{}", said.all());
    }
    // In the clear to another machine only if the operator says so in so many words.
    site.reach("crm_app@db.internal:5432/crm?sslmode=disable").unwrap();
    let said = site.ask(&["check", "--offline"], "").unwrap();
    assert_eq!(said.status.code(), Some(2), "{}", said.all());
    assert!(Path::new(&site.dir()).exists());
}

/// Carries a client's bytes to a server, and what it answers back by `answer`, to their end. Either side may have gone.
fn join(
    mut near: TcpStream,
    mut far: TcpStream,
    answer: impl FnOnce(&mut TcpStream, &mut TcpStream) + Send + 'static,
) {
    let (mut back, mut answers) = (near.try_clone().unwrap(), far.try_clone().unwrap());
    let answering = thread::spawn(move || {
        answer(&mut answers, &mut back);
        let _closed = back.shutdown(Shutdown::Both);
    });
    let _gone = std::io::copy(&mut near, &mut far);
    let _closed = far.shutdown(Shutdown::Write);
    answering.join().unwrap();
}

/// A way to a server that loses the first cancel, as the server itself does with one that comes before its statement has
/// begun there. How many have come.
fn loses_a_cancel(server: u16) -> (u16, Arc<AtomicUsize>) {
    const CANCEL_REQUEST: &[u8] = &[0, 0, 0, 16, 4, 210, 22, 46];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, cancels) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = cancels.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut near) = stream else { return };
            let cancels = counted.clone();
            thread::spawn(move || {
                let mut first = [0; 8];
                if near.read_exact(&mut first).is_err()
                    || first == CANCEL_REQUEST && cancels.fetch_add(1, Ordering::SeqCst) == 0
                {
                    return;
                }
                let mut far = TcpStream::connect(("127.0.0.1", server)).unwrap();
                far.write_all(&first).unwrap();
                join(near, far, |answers, back| {
                    let _gone = std::io::copy(answers, back);
                });
            });
        }
    });
    (port, cancels)
}

/// What ran for a run that was revoked runs for nobody, even where the first cancel is lost.
#[test]
fn a_cancel_that_is_lost_is_sent_again() {
    let upstream = crate::world::upstream();
    let (port, cancels) = loses_a_cancel(upstream.port);
    let plan = interop::gateway::Plan { durability: "os".to_owned(), ..plan() };
    let site = Site::new(&plan, upstream).unwrap();
    site.reach(&format!("crm_app@127.0.0.1:{port}/crm?sslmode=disable")).unwrap();
    let gateway = site.up().unwrap();
    let admin = operator(&gateway, "olga", "admin", "none");
    let lease = gateway.lease("tester").unwrap();
    let mut busy = Raw::log_in(&gateway, &lease);
    busy.send(&query(
        "SELECT count(*) AS lost_cancel FROM generate_series(1, 60000) a, generate_series(1, 60000) b",
    ));
    let running = || {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = 'crm_app' \
                   AND query LIKE '%lost_cancel%'";
        upstream.admin("postgres", sql).unwrap()
    };
    crate::world::eventually("the statement does not run", || (running() == "1").then_some(()));
    let said =
        with_token(&gateway, &admin, &["runs", "revoke", lease.variable("TACHO_RUN"), "--reason", "strange"]);
    assert!(said.status.success(), "{}", said.all());
    busy.read_to_end();
    crate::world::eventually("the upstream still works for it", || (running() == "0").then_some(()));
    assert!(cancels.load(Ordering::SeqCst) > 1, "no cancel was lost");
}

/// A server that lets everybody in, says which version it is, and answers nothing else.
fn claims(version: &'static str, port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut length = [0; 4];
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
                let said = [
                    crate::raw::message(b'R', &[0; 4]),
                    crate::raw::message(b'S', format!("server_version\0{version}\0").as_bytes()),
                    crate::raw::message(b'S', b"standard_conforming_strings\0on\0"),
                    crate::raw::message(b'S', b"client_encoding\0UTF8\0"),
                    crate::raw::message(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]),
                    crate::raw::message(b'Z', b"I"),
                ];
                if stream.read_exact(&mut rest).is_ok() && stream.write_all(&said.concat()).is_ok() {
                    let _until_it_hangs_up = stream.read(&mut length);
                }
            });
        }
    });
    port
}

#[test]
fn a_server_newer_than_the_grammar_is_refused_at_the_start_and_by_each_session() {
    let before = |port: u16| {
        let plan = interop::gateway::Plan { durability: "os".to_owned(), ..plan() };
        let site = Site::new(&plan, crate::world::upstream()).unwrap();
        site.reach(&format!("crm_app@127.0.0.1:{port}/crm?sslmode=disable")).unwrap();
        site
    };
    for version in ["99.1 (Debian 99.1-1)", "99beta1"] {
        let site = before(claims(version, 0));
        let mut up = site.tacho();
        up.arg("up").env("CRM_PASSWORD", UPSTREAM_PASSWORD);
        let said = finish(&mut up, b"", CLIENT_SECONDS_MAX).unwrap();
        assert_eq!(said.status.code(), Some(3), "{}", said.all());
        assert!(said.err().contains("PostgreSQL 99") && said.err().contains("upgrade"), "{}", said.all());
    }
    // One that is down at the start is looked at when it is there.
    let port = interop::place::free_port().unwrap();
    let gateway = before(port).up().unwrap();
    let said = refused(&gateway, "a server that is down");
    assert!(said.contains("cannot be reached"), "{said}");
    claims("99.1", port);
    let said = refused(&gateway, "a server that is newer");
    assert!(said.contains("newer PostgreSQL"), "{said}");
    let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    assert!(shown["notes"].to_string().contains("newer PostgreSQL"), "{shown}");
}

/// A way to a server on which each description of rows becomes `instead`, once `lies` is set.
fn misdescribes(server: u16, instead: &'static [u8], lies: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(near) = stream else { return };
            let lies = lies.clone();
            thread::spawn(move || {
                let far = TcpStream::connect(("127.0.0.1", server)).unwrap();
                join(near, far, move |answers, back| {
                    let mut head = [0; 5];
                    while answers.read_exact(&mut head).is_ok() {
                        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
                        let mut body = vec![0; length as usize - 4];
                        answers.read_exact(&mut body).unwrap();
                        let frame = match head[0] {
                            b'T' if lies.load(Ordering::SeqCst) => instead.to_vec(),
                            _ => [&head[..], &body].concat(),
                        };
                        if back.write_all(&frame).is_err() {
                            break;
                        }
                    }
                });
            });
        }
    });
    port
}

/// Formats and types of what leaves are known, or it does not leave: behind them is where detectors look.
#[test]
fn rows_that_upstream_did_not_describe_do_not_leave() {
    let no_data: &[u8] = b"n\0\0\0\x04";
    let no_columns: &[u8] = b"T\0\0\0\x06\0\0";
    for instead in [no_data, no_columns] {
        let lies = Arc::new(AtomicBool::new(false));
        let port = misdescribes(crate::world::upstream().port, instead, lies.clone());
        let plan = interop::gateway::Plan { durability: "os".to_owned(), ..plan() };
        let site = Site::new(&plan, crate::world::upstream()).unwrap();
        site.reach(&format!("crm_app@127.0.0.1:{port}/crm?sslmode=disable")).unwrap();
        let gateway = site.up().unwrap();
        let lease = gateway.lease("watchful").unwrap();
        let mut raw = Raw::log_in(&gateway, &lease);
        let said = raw.query("select 4711").unwrap();
        assert!(said.iter().any(|message| message.0 == b'D'), "{said:?}");
        lies.store(true, Ordering::SeqCst);
        raw.send(&query("select 4712"));
        let mut heard = Vec::new();
        while let Ok(message) = raw.message() {
            heard.push(message);
        }
        assert!(heard.iter().all(|message| message.0 != b'D'), "{heard:?}");
        assert_eq!(crate::raw::code(&heard).as_deref(), Some("XX000"), "{heard:?}");
        let touched = gateway.site().ask(&["touched", &newest_run(gateway.site())], "").unwrap().out();
        assert!(touched.contains("INDETERMINATE"), "{touched}");
    }
}
