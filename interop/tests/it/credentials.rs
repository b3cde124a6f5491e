//! P6: the agent never holds the upstream's credential, nor reaches what the gateway keeps.

use crate::raw::{Raw, query};
use crate::scan::Net;
use crate::world::{UPSTREAM_PASSWORD, agent, gateway, good, json, newest_run, own_site, sh};
use interop::postgres::SUPER_PASSWORD;

#[test]
fn the_upstreams_password_is_nowhere_in_the_agents_sight() {
    let script = "env; cat /proc/self/environ /proc/*/environ /proc/*/cmdline 2>/dev/null; \
                  find \"$HOME\" -type f -exec cat {} + 2>/dev/null; psql -X -At -c 'select current_user, session_user' -c '\\conninfo'";
    let done = sh("tester", script);
    good(&done);
    assert!(done.out().contains("DATABASE_URL="), "{}", done.all());
    assert!(!done.all().contains(UPSTREAM_PASSWORD), "the password reached the agent");
}

#[test]
fn the_gateways_belongings_are_closed_to_the_agent() {
    let site = gateway().site();
    for path in [site.data(), site.dir().join("tacho-keys"), site.auditor_key()] {
        let path = path.display();
        let done = sh("tester", &format!("find '{path}' -type f -exec cat {{}} + 2>/dev/null | wc -c"));
        good(&done);
        assert_eq!(done.out().trim(), "0", "{path} can be read:\n{}", done.all());
    }
    let done = sh(
        "tester",
        &format!("cat /proc/{0}/environ /proc/{0}/mem 2>/dev/null | head -c 100 | wc -c", gateway().pid()),
    );
    assert_eq!(done.out().trim(), "0", "{}", done.all());
}

#[test]
fn the_credentials_die_with_the_run() {
    let lease = gateway().lease("tester").unwrap();
    let url = lease.variable("DATABASE_URL").to_owned();
    let psql = || {
        let mut psql = std::process::Command::new("psql");
        interop::process::finish(
            psql.args(["-X", "-At", "-c", "select 1", &url]),
            b"",
            interop::limits::CLIENT_SECONDS_MAX,
        )
        .unwrap()
    };
    assert_eq!(psql().out(), "1\n");
    drop(lease);
    let done = psql();
    assert!(!done.status.success(), "a dead run's password still works: {}", done.all());
}

/// Every byte that a client gets, in every way that it can make the gateway or the upstream talk about logins.
#[test]
fn no_byte_that_a_client_gets_holds_an_upstream_credential() {
    let lease = gateway().lease("tester").unwrap();
    let mut client = Raw::log_in(gateway(), &lease);
    for sql in [
        "SELECT * FROM pg_authid",
        "SELECT rolpassword FROM pg_roles",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM pg_stat_activity",
        "SELECT * FROM pg_stat_ssl",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT * FROM pg_user_mappings",
        "SHOW ALL",
        "SELECT current_user, session_user, current_setting('is_superuser')",
        "SELECT inet_server_addr(), inet_server_port(), pg_backend_pid()",
        "ALTER ROLE crm_app PASSWORD 'x'",
        "SET ROLE crm_app",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SELECT pg_read_file('pg_hba.conf')",
        "COPY (SELECT 1) TO PROGRAM 'env'",
        "SELECT 1 FROM not_there",
        "SELECT '",
    ] {
        client.send(&query(sql));
        client.until_ready().unwrap();
    }
    let net = Net::new([UPSTREAM_PASSWORD, SUPER_PASSWORD]);
    assert_eq!(net.search(&client.seen), Vec::<&str>::new());
    let scram = client.seen.windows(14).any(|window| window == b"SCRAM-SHA-256$");
    assert!(!scram, "a verifier of the upstream's reached the client");
}

/// An upstream that refuses the gateway's own login: the client hears that, and nothing of whose login it was.
#[test]
fn a_login_that_the_upstream_refuses_names_nobody_and_nothing() {
    let wrong = "a-wrong-canary-4c1e";
    let site = own_site("wrong_login", |plan| {
        plan.durability = "os".to_owned();
        plan.password = wrong.to_owned();
    });
    let gateway = site.up().unwrap();
    let done = agent(&gateway, "psql -X -c 'select 1'");
    assert!(!done.status.success(), "{}", done.all());
    assert!(!done.all().contains(wrong) && !done.all().contains("crm_app"), "{}", done.all());
    let shown = json(gateway.site(), &["show", &newest_run(gateway.site()), "--json"]);
    assert!(shown["notes"].to_string().contains("not-connected"), "{shown}");
    assert!(!gateway.log().contains(wrong), "{}", gateway.log());
    let site = gateway.stop();
    assert_eq!(Net::new([wrong]).search_files(&site.dir()), Vec::<String>::new());
}
