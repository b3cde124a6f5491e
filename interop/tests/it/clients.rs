//! Existing clients do not notice: each has its usual conversation through the gateway, in which it
//! sees masks, is refused with 42501, and goes on. What it checks stands in `interop/clients`.

use crate::world::{client, drivers, gateway, good, nothing_leaked};
use interop::process::Finished;
use std::path::Path;
use std::process::Command;

/// Runs a program of `interop/clients` as the agent `tester`.
fn converse(interpreter: &Path, program: &str) {
    let done = gateway().run_to_end("tester", &[interpreter, &client(program)], "").unwrap();
    completed(&done);
}

#[track_caller]
fn completed(done: &Finished) {
    good(done);
    assert!(done.out().contains("conversation complete"), "{}", gateway().explain(done));
    nothing_leaked(done);
}

#[test]
fn psycopg3() {
    converse(&drivers().python(), "psycopg3_client.py");
}

#[test]
fn psycopg2() {
    converse(&drivers().python(), "psycopg2_client.py");
}

#[test]
fn asyncpg() {
    converse(&drivers().python(), "asyncpg_client.py");
}

#[test]
fn sqlalchemy() {
    converse(&drivers().python(), "sqlalchemy_client.py");
}

#[test]
fn pg8000() {
    converse(&drivers().python(), "pg8000_client.py");
}

#[test]
fn node_postgres() {
    converse(&drivers().node(), "node_client.js");
}

#[test]
fn jdbc() {
    let source = client("JdbcClient.java");
    let jar = std::env::var("INTEROP_JDBC").unwrap_or_else(|_| "/usr/share/java/postgresql.jar".to_owned());
    let mut javac = Command::new("javac");
    javac.arg("-d").arg(drivers().dir()).arg(&source);
    good(&interop::process::finish(&mut javac, b"", interop::limits::CLIENT_SECONDS_MAX).unwrap());
    let path = format!("{}:{jar}", drivers().dir().display());
    let words = ["java", "-Xmx256m", "-cp", &path, "JdbcClient"].map(Path::new);
    completed(&gateway().run_to_end("tester", &words, "").unwrap());
}
