//! What a refusal looks like to a client: an ordinary error, an honest transaction state, a session
//! that goes on. Seen with tokio-postgres, over the credentials of a run that waits.

use crate::raw::{Raw, code as told, query};
use crate::world::{gateway, upstream};
use interop::gateway::Lease;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Minutes of work that needs no function with effects and no disk.
const LONG: &str = "SELECT count(*) FROM generate_series(1, 60000) a, generate_series(1, 60000) b";

fn block_on<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(interop::limits::CLIENT_SECONDS_MAX, body).await.expect("it hangs")
    })
}

async fn connect(lease: &Lease) -> Client {
    let (client, connection) = tokio_postgres::connect(lease.variable("DATABASE_URL"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn code(client: &Client, sql: &str) -> SqlState {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.code().unwrap_or_else(|| panic!("{sql}: {error}")).clone()
}

#[test]
fn a_refusal_names_its_rule_and_the_session_goes_on() {
    let lease = gateway().lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        let error = client.batch_execute("DROP TABLE orders").await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::INSUFFICIENT_PRIVILEGE);
        let said = format!("{} {:?} {:?}", error.message(), error.detail(), error.hint());
        assert!(said.contains("no-define") && said.contains("do not change the structure"), "{said}");
        let row = client.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), 6);
    });
    assert_eq!(upstream().admin("crm", "SELECT count(*) FROM orders").unwrap(), "6");
}

#[test]
fn a_refusal_fails_the_transaction_as_the_server_would() {
    let lease = gateway().lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        client.batch_execute("BEGIN; SAVEPOINT a").await.unwrap();
        assert_eq!(code(&client, "DROP TABLE orders").await, SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(code(&client, "SELECT 1").await, SqlState::IN_FAILED_SQL_TRANSACTION);
        client.batch_execute("ROLLBACK TO SAVEPOINT a").await.unwrap();
        client.batch_execute("SELECT 1").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    });
}

#[test]
fn one_refused_statement_refuses_the_whole_text() {
    let lease = gateway().lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        let text = "INSERT INTO pad (t) VALUES ('must-not-be-there'); DROP TABLE orders";
        assert_eq!(code(&client, text).await, SqlState::INSUFFICIENT_PRIVILEGE);
    });
    assert_eq!(
        upstream().admin("crm", "SELECT count(*) FROM pad WHERE t = 'must-not-be-there'").unwrap(),
        "0"
    );
}

#[test]
fn what_cannot_be_known_is_refused() {
    let lease = gateway().lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        for sql in [
            "DO $$ BEGIN DROP TABLE orders; END $$",
            "COPY customers TO PROGRAM 'cat'",
            "COPY pad FROM '/etc/passwd'",
            "SELECT pg_read_file('/etc/passwd')",
            "SELECT query_to_xml('select * from customers', true, false, '')",
            "SET ROLE postgres",
            "SET SESSION AUTHORIZATION postgres",
            "LOAD 'plpgsql'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'",
            "SELECT lo_import('/etc/passwd')",
            "SELECT dblink('host=127.0.0.1', 'select 1')",
        ] {
            assert_eq!(code(&client, sql).await, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
        }
        client.batch_execute("SELECT 1").await.unwrap();
    });
}

#[test]
fn a_session_of_an_agent_that_may_only_read_is_read_only_upstream() {
    let lease = gateway().lease("reader").unwrap();
    block_on(async {
        let config =
            format!("{}&options=-c%20default_transaction_read_only%3Doff", lease.variable("DATABASE_URL"));
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
        tokio::spawn(connection);
        for (setting, expect) in [("transaction_read_only", "on"), ("statement_timeout", "10min")] {
            let row = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), expect, "{setting}");
        }
        for sql in [
            "BEGIN READ WRITE",
            "START TRANSACTION READ WRITE",
            "SET default_transaction_read_only = off",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
            "SELECT set_config('transaction_read_only', 'off', false)",
        ] {
            assert_eq!(code(&client, sql).await, SqlState::READ_ONLY_SQL_TRANSACTION, "{sql}");
        }
        assert_eq!(code(&client, "SET statement_timeout = '11min'").await, SqlState::INSUFFICIENT_PRIVILEGE);
        client.batch_execute("SET statement_timeout = 0").await.unwrap();
        let row = client.query_one("SHOW statement_timeout", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "10min");
        client
            .batch_execute("SET statement_timeout = '5s'; BEGIN; SELECT 1; COMMIT; RESET ALL")
            .await
            .unwrap();
        let row = client.query_one("SHOW transaction_read_only", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "on");
    });
}

#[test]
fn cancel_ends_only_the_runs_own_statement() {
    let lease = gateway().lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        let token = client.cancel_token();
        // A cancel that comes before the statement runs is lost, as with the server itself: ask again.
        let cancel = tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                token.cancel_query(NoTls).await.unwrap();
            }
        });
        assert_eq!(code(&client, LONG).await, SqlState::QUERY_CANCELED);
        cancel.abort();
        client.batch_execute("SELECT 1").await.unwrap();
    });
}

/// The process id and the key that a client was told at login.
fn cancel_key(client: &Raw) -> (Vec<u8>, Vec<u8>) {
    let mut rest = &client.seen[..];
    while let Some(length) = rest.get(1..5).map(|l| u32::from_be_bytes(l.try_into().unwrap()) as usize) {
        if rest[0] == b'K' {
            return (rest[5..9].to_vec(), rest[9..=length].to_vec());
        }
        rest = &rest[1 + length..];
    }
    panic!("no key was told");
}

fn cancel(port: u16, pid: &[u8], key: &[u8]) {
    let length = u32::try_from(12 + key.len()).unwrap().to_be_bytes();
    let mut stranger = Raw::knock(port);
    stranger.send(&[&length[..], &[4, 210, 22, 46], pid, key].concat());
    // Whether there was such a session is nobody's business.
    stranger.read_to_end();
    assert!(stranger.seen.is_empty());
}

#[test]
fn a_forged_key_and_another_runs_key_cancel_nothing() {
    let port = gateway().site().port;
    let (ours, theirs) = (gateway().lease("tester").unwrap(), gateway().lease("tester").unwrap());
    let (mut client, other) = (Raw::log_in(gateway(), &ours), Raw::log_in(gateway(), &theirs));
    let ((pid, key), (other_pid, other_key)) = (cancel_key(&client), cancel_key(&other));
    assert!(key != other_key && pid != other_pid);
    let mut wrong = key.clone();
    wrong[0] ^= 1;
    client.send(&query(LONG));
    let wait = || std::thread::sleep(std::time::Duration::from_millis(700));
    wait();
    let longer = [&key[..], &[0]].concat();
    for (pid, key) in [
        (&pid, &wrong[..]),
        (&pid, &other_key),
        (&other_pid, &key),
        (&other_pid, &other_key),
        (&pid, &[0; 4]),
        (&pid, &longer),
    ] {
        cancel(port, pid, key);
    }
    wait();
    // Nothing has come of it: its own key ends the statement, which still runs.
    client.stream.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
    assert!(client.message().is_err(), "somebody else's key has ended the statement");
    client.stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    cancel(port, &pid, &key);
    assert_eq!(told(&client.until_ready().unwrap()).as_deref(), Some("57014"));
}
