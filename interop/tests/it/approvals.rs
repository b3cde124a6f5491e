//! A request that needs a person waits for one, and for nobody else.

use crate::world::{drivers, gateway, sh, upstream};
use interop::gateway::HUMAN;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Adds an operator; the token that is printed once.
fn operator(name: &str, group: &str) -> String {
    // One at a time: tests run beside each other, and this is not about a race of administrators.
    static ONE: Mutex<()> = Mutex::new(());
    let _turn = ONE.lock();
    let words = ["operator", "add", name, "--role", "approver", "--group", group, "--json"];
    let said = gateway().site().ask(&words, "").unwrap();
    let answer: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    answer["token"].as_str().unwrap().to_owned()
}

pub fn lead() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(|| operator("lena", "leads"))
}

pub fn with_token(token: &str, words: &[&str]) -> Finished {
    finish(gateway().site().tacho().args(words).env("TACHO_OPERATOR_TOKEN", token), b"", PATIENCE).unwrap()
}

/// The id of the request whose statement holds `word`, once it waits.
pub fn waiting(token: &str, word: &str) -> String {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let said = with_token(token, &["approvals", "--json"]);
        let inbox: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
        let found = inbox["approvals"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|asked| asked.to_string().contains(word));
        if let Some(id) = found.and_then(|asked| asked["ask"].as_str()) {
            return id.to_owned();
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("nothing with {word} waits\n{}", gateway().log());
}

/// The agent's UPDATE of one order, in another thread.
fn update(order: u32, column: &'static str) -> thread::JoinHandle<Finished> {
    let sql = format!(
        "psql -X -At -v ON_ERROR_STOP=1 -c \"UPDATE orders SET {column} = 'changed' WHERE id = {order}\""
    );
    thread::spawn(move || sh("asker", &sql))
}

fn value(order: u32, column: &str) -> String {
    upstream().admin("crm", &format!("SELECT {column} FROM orders WHERE id = {order}")).unwrap()
}

#[test]
fn an_approved_request_is_done_and_a_denied_one_is_not() {
    let agent = update(1, "status");
    let ask = waiting(lead(), "status");
    assert_ne!(value(1, "status"), "changed", "it waits");
    let approved = with_token(lead(), &["approve", &ask]);
    assert!(approved.status.success(), "{}", approved.all());
    let done = agent.join().unwrap();
    assert_eq!(done.out(), "UPDATE 1\n", "{}", gateway().explain(&done));
    assert_eq!(value(1, "status"), "changed");
    let again = with_token(lead(), &["approve", &ask]);
    assert_eq!(again.status.code(), Some(1), "an approval is spent once: {}", again.all());

    let agent = update(2, "note");
    let ask = waiting(lead(), "note");
    let denied = with_token(lead(), &["deny", &ask, "--reason", "not today"]);
    assert!(denied.status.success(), "{}", denied.all());
    let done = agent.join().unwrap();
    assert!(!done.status.success() && done.err().contains("asker-asks"), "{}", done.all());
    assert_eq!(value(2, "note"), "call before delivery");
}

#[test]
fn an_approver_sees_the_values_that_are_of_no_class_and_the_record_has_none() {
    let cases = [
        ("orders w8811", "SET note = '771133 x' WHERE id = 4", &["note = '771133 x' where id = 4"][..]),
        // What a detector knows is masked, and what a comment says is not done.
        (
            "orders w8812",
            "SET note = 'of 536-22-8391, 771134' WHERE id = 4 /* 771135 */",
            &["'of [pii.ssn], 771134' where id = 4 /*?*/"],
        ),
        // What is compared with a governed column, or put into one, is of its class.
        ("orders w8813", "SET note = '771136' FROM customers c WHERE c.ssn = 'x7711' AND w8813.id = 4", &[]),
        ("customers w8814", "SET ssn = '771137' WHERE id = 4", &[]),
    ];
    for (table, rest, shown) in cases {
        let sql = format!("psql -X -At -c \"UPDATE {table} {rest}\"");
        let agent = thread::spawn(move || sh("asker", &sql));
        let ask = waiting(lead(), &table[table.len() - 5..]);
        let whole = with_token(lead(), &["approvals", &ask]).out().to_lowercase();
        shown.iter().for_each(|part| assert!(whole.contains(part), "{part}: {whole}"));
        assert_eq!(whole.contains("with its values"), !shown.is_empty(), "{whole}");
        assert!(!shown.is_empty() || !whole.contains("7711"), "{whole}");
        assert!(!whole.contains("771135"), "{whole}");
        let asked = with_token(lead(), &["approvals", &ask, "--json"]).out();
        let asked: Value = serde_json::from_str(&asked).unwrap_or_else(|_| panic!("{asked}"));
        let denied = with_token(lead(), &["deny", &ask]);
        assert!(denied.status.success(), "{}", denied.all());
        let done = agent.join().unwrap();
        assert!(!done.status.success(), "{}", done.all());
        let run = asked["run"].as_str().unwrap_or_else(|| panic!("{asked}"));
        let recorded = gateway().site().ask(&["show", run, "--json"], "").unwrap().out();
        // But for how the run was started.
        let recorded: String = recorded.lines().filter(|line| !line.contains("psql")).collect();
        assert!(recorded.contains(&table[table.len() - 5..]) && !recorded.contains("7711"), "{recorded}");
    }
}

#[test]
fn an_approver_sees_the_parameters_and_is_not_asked_about_what_is_too_long_to_see() {
    let script = "import psycopg\n\
        c = psycopg.connect()\n\
        c.execute('SELECT 1')\n\
        c.execute('UPDATE orders SET amount = %s WHERE id = %s', (770155.25, 3))";
    let python = drivers().python();
    let agent = thread::spawn(move || sh("asker", &format!("{} -c \"{script}\"", python.display())));
    let ask = waiting(lead(), "amount");
    let inbox = with_token(lead(), &["approvals", "--json"]);
    let inbox: Value = serde_json::from_str(&inbox.out()).unwrap();
    let asked = inbox["approvals"].as_array().unwrap().iter().find(|a| a["ask"] == ask.as_str()).unwrap();
    assert_eq!(asked["params"].as_array().map(Vec::len), Some(2), "{asked}");
    assert_eq!(asked["in_transaction"], true, "{asked}");
    assert!(
        asked["touches"].to_string().contains("orders (") && asked["touches"].to_string().contains("amount")
    );
    assert_eq!(asked["param_values"], serde_json::json!(["770155.25", "3"]), "{asked}");
    let denied = with_token(lead(), &["deny", &ask]);
    assert!(denied.status.success() && denied.out().contains("denied by"), "{}", denied.all());
    let refused = agent.join().unwrap();
    assert!(!refused.status.success() && refused.err().contains("denied"), "{}", refused.all());

    // Whoever approved this would not have seen its end.
    let long = format!("UPDATE orders SET note = 'x' WHERE {}id = 3", "id > 0 AND ".repeat(4_000));
    let done = sh("asker", &format!("psql -X -v VERBOSITY=verbose -c \"{long}\""));
    assert!(done.err().contains("54000") && done.err().contains("cannot be shown whole"), "{}", done.all());
}

#[test]
fn nobody_approves_their_own_run_or_for_another_group() {
    let own = operator(HUMAN, "leads");
    let other = operator("otto", "others");
    let agent = update(4, "note");
    let ask = waiting(lead(), "note");
    for token in [own.as_str(), other.as_str(), "tacho-op-forged"] {
        let said = with_token(token, &["approve", &ask]);
        assert!(!said.status.success(), "{}", said.all());
    }
    let inside = sh("asker", &format!("tacho approve {ask} 2>&1; echo status $?"));
    assert!(!inside.out().contains("status 0"), "{}", inside.all());
    drop(with_token(lead(), &["deny", &ask]));
    assert!(!agent.join().unwrap().status.success());
    assert_eq!(value(4, "note"), "");
}
