//! P4 for names: whatever an agent may choose a name for holds canaries of the forms that detectors know. Then everything
//! that is kept, shown or exported is searched.
//!
//! A name of no such form is recorded as it is: without the names of what was touched there is no record.

use crate::canaries::{Canaries, around};
use crate::raw::{Raw, message};
use crate::scan::Net;
use crate::world::{UPSTREAM_PASSWORD, own, seed};
use interop::gateway::Lease;

/// Each `{}` is a name, quoted.
const STATEMENTS: &[&str] = &[
    "LISTEN {}",
    "NOTIFY {}, 'x'",
    "NOTIFY {}",
    "UNLISTEN {}",
    "PREPARE {} AS SELECT 1",
    "EXECUTE {}",
    "EXPLAIN EXECUTE {}",
    "DEALLOCATE {}",
    "BEGIN",
    "SAVEPOINT {}",
    "ROLLBACK TO SAVEPOINT {}",
    "RELEASE SAVEPOINT {}",
    "DECLARE {} CURSOR FOR SELECT 1",
    "FETCH ALL FROM {}",
    "MOVE 1 IN {}",
    "CLOSE {}",
    "COMMIT",
    "BEGIN; SAVEPOINT {n}; RELEASE {n}; DECLARE {n} CURSOR FOR SELECT 1; FETCH {n}; CLOSE {n}; COMMIT",
    "DECLARE {n} CURSOR WITH HOLD FOR SELECT 1; FETCH 1 FROM {n}; CLOSE {n}",
    "PREPARE {n} AS SELECT 1; EXECUTE {n}; DEALLOCATE {n}",
    "SET application_name = {}",
    "SET {} = 1",
    "SET {}.{} = 'x'",
    "SET a.b = {}",
    "SHOW {}",
    "RESET {}",
    "SET search_path = {}, public",
    "SELECT current_schemas(true), current_setting('search_path')",
    "RESET search_path",
    "SET ROLE {}",
    "SET SESSION AUTHORIZATION {}",
    "SET TIME ZONE {}",
    "SET LOCAL datestyle = {}",
    "SELECT {n}.id FROM orders AS {n}",
    "SELECT id AS {} FROM orders",
    "SELECT {} FROM orders",
    "SELECT orders.{} FROM orders",
    "SELECT * FROM {}",
    "SELECT * FROM {}.{}",
    "SELECT {}(1), {}.{}(2)",
    "SELECT 1::{}, CAST(2 AS {}.{})",
    "SELECT 'a' COLLATE {}",
    "SELECT format({} => 'x')",
    "WITH {n} AS (SELECT 1 AS {}) SELECT * FROM {n}",
    "SELECT row_number() OVER {n} FROM orders WINDOW {n} AS (ORDER BY id)",
    "SELECT * FROM json_to_record('{\"a\": 1}') AS {} ({} int)",
    "SELECT * FROM orders o JOIN customers {n} USING ({})",
    "INSERT INTO orders ({}) VALUES (1)",
    "INSERT INTO orders AS {} (id) VALUES (1) ON CONFLICT ON CONSTRAINT {} DO NOTHING",
    "INSERT INTO {} VALUES (1)",
    "INSERT INTO pad (t) VALUES ('x') RETURNING id AS {}",
    "UPDATE orders SET {} = 1",
    "UPDATE {} SET id = 1",
    "DELETE FROM {} USING {}",
    "MERGE INTO {} USING orders ON true WHEN MATCHED THEN DO NOTHING",
    "COPY orders ({}) TO STDOUT",
    "COPY orders ({}) FROM STDIN",
    "COPY {} TO STDOUT",
    "COPY (SELECT id AS {} FROM orders) TO STDOUT (FORMAT csv, HEADER)",
    "COPY orders TO STDOUT ({} 1)",
    "COPY pad (t) FROM STDIN (FORMAT {})",
    "TRUNCATE {}",
    "LOCK TABLE {}",
    "ANALYZE {}",
    "VACUUM {}",
    "CREATE TABLE {} ({} int)",
    "CREATE TEMP TABLE {} ({} int, CONSTRAINT {} CHECK ({} > 1))",
    "CREATE VIEW {} AS SELECT 1 AS {}",
    "CREATE INDEX {} ON orders (id)",
    "CREATE ROLE {}",
    "CREATE USER {} PASSWORD 'x'",
    "CREATE SCHEMA {}",
    "CREATE DATABASE {}",
    "CREATE FUNCTION {}({} int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE {} AS ({} int)",
    "CREATE EXTENSION {}",
    "GRANT SELECT ON orders TO {}",
    "GRANT {} TO {}",
    "ALTER ROLE {} SET {} = 1",
    "ALTER TABLE orders ADD COLUMN {} int",
    "ALTER TABLE {} RENAME TO {}",
    "ALTER DATABASE {} SET work_mem = 1",
    "DROP TABLE {}",
    "DROP ROLE {}",
    "DROP OWNED BY {}",
    "REASSIGN OWNED BY {} TO {}",
    "COMMENT ON TABLE {} IS 'x'",
    "CALL {}()",
    "DO LANGUAGE {} 'x'",
    "REINDEX TABLE {}",
    "CLUSTER {}",
    "REFRESH MATERIALIZED VIEW {}",
    "CREATE PUBLICATION {}",
    "CREATE SUBSCRIPTION {} CONNECTION 'x' PUBLICATION {}",
    "SELECT pg_notify({}, 'x')",
    "SELECT set_config('application_name', 'x', {})",
    "SELECT {",
    "SELECT 1 AS {",
];

/// Names without end: a canary as it is, or with something around it.
struct Names<'a> {
    canaries: &'a Canaries,
    n: usize,
}

impl Names<'_> {
    fn next(&mut self) -> String {
        self.n += 1;
        let n = self.n / 3;
        let of = |all: &[String]| all[n % all.len()].clone();
        match (self.n % 3, n % 2) {
            (0, 0) => of(&self.canaries.ssn),
            (0, _) => format!("ssn {}", of(&self.canaries.ssn)),
            (1, 0) => of(&self.canaries.card),
            (1, _) => format!("of {} today", of(&self.canaries.card)),
            (_, 0) => of(&self.canaries.mail),
            (_, _) => format!("<{}>", of(&self.canaries.mail)),
        }
    }

    fn fill(&mut self, template: &str) -> String {
        let mut text = template.replace("{n}", &format!("\"{}\"", self.next()));
        while text.contains("{}") {
            text = text.replacen("{}", &format!("\"{}\"", self.next()), 1);
        }
        text.replace("{\"", "\"").replace('{', &format!("\"{}", self.next()))
    }
}

/// What the protocol has names for: statements and portals that are made, used, missing and made twice.
fn protocol(client: &mut Raw, name: &str) {
    let z = |text: &str| [text.as_bytes(), b"\0"].concat();
    let parse = message(b'P', &[z(name), z("SELECT 1"), vec![0, 0]].concat());
    let bind = message(b'B', &[z(name), z(name), vec![0; 6]].concat());
    let about = |kind: u8, what: u8| message(kind, &[vec![what], z(name)].concat());
    let execute = message(b'E', &[z(name), vec![0; 4]].concat());
    let whole = [parse.clone(), bind.clone(), about(b'D', b'S'), about(b'D', b'P'), execute.clone()].concat();
    let quoted = name.replace('"', "\"\"");
    for flight in [
        whole.clone(),
        parse,
        message(b'P', &[z("x"), z(&format!("EXECUTE \"{quoted}\"")), vec![0, 0]].concat()),
        [about(b'C', b'S'), about(b'C', b'P'), message(b'C', b"Sx\0")].concat(),
        bind,
        execute,
        about(b'D', b'S'),
        about(b'D', b'P'),
        [whole, about(b'C', b'P'), about(b'C', b'S')].concat(),
    ] {
        client.send(&flight);
        client.send(&message(b'S', b""));
        client.until_ready().unwrap();
    }
}

/// Logins that hold canaries wherever a startup message takes a name; most fail.
fn logins(port: u16, lease: &Lease, names: &mut Names<'_>) {
    let (user, database) = (lease.user().to_owned(), lease.variable("PGDATABASE").to_owned());
    for _ in 0..3 {
        let name = names.next();
        for (user, password, database) in [
            (&*name, lease.password(), &*database),
            (&user, &*name, &database),
            (&user, lease.password(), &name),
            (&name, &name, &name),
        ] {
            assert!(Raw::log_in_as(port, user, password, database).is_err(), "{name}");
        }
        let option = format!("-c search_path={name} -c {name}=1");
        for (key, value) in [
            ("application_name", &*name),
            ("options", &option),
            ("search_path", &name),
            (&name, "x"),
            ("client_encoding", &name),
            ("replication", &name),
        ] {
            let more = [("user", &*user), ("database", &*database), (key, value)];
            if let Ok(mut client) = Raw::log_in_with(port, lease.password(), &more) {
                client.query("SELECT 1").unwrap();
                client.send(&message(b'X', b""));
            }
        }
    }
}

#[test]
fn names_that_agents_choose_leave_no_canary_in_any_file_page_or_export() {
    let canaries = Canaries::new(seed() ^ 0x6e61_6d65);
    let gateway = own("canary_names", |plan| {
        plan.durability = "os".to_owned();
        plan.resource_lines = "reel = \"full\"".to_owned();
    });
    let mut names = Names { canaries: &canaries, n: 0 };
    let mut runs = Vec::new();
    for agent in ["tester", "raw"] {
        let lease = gateway.lease(agent).unwrap();
        let mut client = Raw::log_in(&gateway, &lease);
        for template in STATEMENTS {
            // Six kinds of name for each.
            for _ in 0..6 {
                let sql = names.fill(template);
                client.query(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
            }
            client.query("ROLLBACK").unwrap();
        }
        for _ in 0..6 {
            protocol(&mut client, &names.next());
        }
        logins(gateway.site().port, &lease, &mut names);
        runs.push((lease.variable("TACHO_RUN").to_owned(), lease));
    }
    let site = gateway.site();
    let mut shown = gateway.log().into_bytes();
    for (run, _) in &runs {
        let (page, bundle) = (format!("{run}.html"), format!("{run}.bundle"));
        for words in [
            vec!["show", run],
            vec!["show", run, "--json"],
            vec!["who", run, "--json"],
            vec!["touched", run],
            vec!["touched", run, "--json"],
            vec!["exposed", run, "--json"],
            vec!["export", run, "--as", "html", "-o", &page],
            vec!["export", run, "--as", "bundle", "--with-key", "-o", &bundle],
            vec!["runs", "--json"],
            vec!["status", "--json"],
            vec!["status"],
            vec!["doctor"],
            vec!["find", "verb:define"],
            vec!["find", "verb:read", "--json"],
        ] {
            let said = site.ask(&words, "").unwrap();
            assert!(said.status.code() != Some(2), "{words:?}: {}", said.all());
            shown.extend_from_slice(&said.stdout);
            shown.extend_from_slice(&said.stderr);
        }
    }
    let html = ["show", &runs[0].0, "--json"];
    let actions: serde_json::Value = serde_json::from_str(&site.ask(&html, "").unwrap().out()).unwrap();
    assert!(actions["run"]["actions"].as_u64().unwrap() > 500, "{}", actions["run"]);
    drop(runs);
    let site = gateway.stop();
    let net = Net::new(canaries.named().chain([UPSTREAM_PASSWORD]));
    let found = net.search(&shown);
    let places: Vec<String> = found.iter().map(|found| around(&shown, found)).collect();
    assert!(found.is_empty(), "shown or exported: {found:?}\n{}", places.join("\n---\n"));
    let mut found = net.search_files(&site.dir());
    found.extend(net.search_files(site.dir().parent().unwrap()));
    assert!(found.is_empty(), "{}", found.join("\n"));
    std::fs::write(site.data().join("planted"), format!("LISTEN \"{}\"", canaries.card[3])).unwrap();
    assert_eq!(net.search_files(&site.dir()).len(), 1);
}
