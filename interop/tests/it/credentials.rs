//! P6: the agent never holds the upstream's credential, nor reaches what the gateway keeps.

use crate::world::{UPSTREAM_PASSWORD, gateway, good, sh};

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
