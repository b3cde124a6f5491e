//! Answers are decided too: by rows and by what detectors find in them; refused, or held until a person allows it.

use crate::approvals::{lead, waiting, with_token};
use crate::raw::Raw;
use crate::world::{gateway, good, sh, upstream};
use std::thread;

/// What psql says of each statement, in order, in one session.
fn psql(agent: &str, statements: &[&str]) -> String {
    let script: Vec<String> = statements.iter().map(|sql| format!("{sql};")).collect();
    let done =
        sh(agent, &format!("psql -X -At -v VERBOSITY=verbose 2>&1 <<'END'\n{}\nEND", script.join("\n")));
    good(&done);
    done.out()
}

#[test]
fn an_answer_that_policy_refuses_is_an_error_and_the_session_goes_on() {
    let said = psql(
        "limited",
        &[
            "select count(*) from (select generate_series(1, 100)) a",
            "select 'row', generate_series(1, 101)",
            "select 'after'",
            "begin",
            "select 'row', generate_series(1, 101)",
            "select 'in a failed transaction'",
            "rollback",
            "select 'after all'",
        ],
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "100", "{said}");
    assert!(lines[1].starts_with("ERROR:  42501: More rows than this agent may have at once."), "{said}");
    assert!(said.contains("DETAIL:  rule: narrow-answers"), "{said}");
    assert_eq!(said.matches("42501").count(), 2, "{said}");
    assert!(!said.contains("row|"), "no row of a refused answer leaves: {said}");
    assert!(lines.contains(&"after") && lines.contains(&"after all"), "{said}");
    assert!(said.contains("ERROR:  25P02") && !lines.contains(&"in a failed transaction"), "{said}");
}

/// What came before it in one text is told before it.
#[test]
fn what_is_refused_stands_behind_what_came_before_it() {
    let lease = gateway().lease("limited").unwrap();
    let mut client = Raw::log_in(gateway(), &lease);
    let answer = client
        .query("select 'one'; select 'two'; show work_mem; select 'row', generate_series(1, 101)")
        .unwrap();
    let kinds: Vec<char> = answer.iter().map(|(kind, _)| char::from(*kind)).collect();
    assert_eq!(kinds.iter().collect::<String>(), "TDCTDCTDCTEZ", "{answer:?}");
}

/// Far more than is ever in the air: upstream is stopped, and says no more than was recorded.
#[test]
fn a_long_answer_is_stopped_where_it_crosses_the_limit() {
    let begun = std::time::Instant::now();
    let said = psql("limited", &["select 'row', generate_series(1, 100000000)", "select 'after'"]);
    assert!(said.contains("ERROR:  42501") && said.contains("\nafter"), "{said}");
    assert!(said.matches("row|").count() < 100, "{said}");
    assert!(begun.elapsed() < interop::limits::CLIENT_SECONDS_MAX);
}

#[test]
fn an_answer_full_of_undeclared_values_is_refused_before_it_leaves() {
    let rows = "INSERT INTO pad (t) SELECT 'find' || n || '@example.com' FROM generate_series(1, 9) n";
    upstream().admin("crm", rows).unwrap();
    let said = psql(
        "wired",
        &[
            "select t from pad where t like 'find%' order by id limit 3",
            "select t from pad where t like 'find%'",
            "select 'after'",
        ],
    );
    assert!(said.contains("Sensitive values where none are declared.") && said.contains("\nafter"), "{said}");
    assert_eq!(said.matches("[pii.email]").count(), 3, "the first three, masked: {said}");
    assert!(!said.contains("find1@"), "{said}");
}

#[test]
fn an_answer_waits_for_a_person() {
    let ask = |n: u32| {
        let sql = format!("select 'seen {n}', generate_series(1, 150)");
        thread::spawn(move || psql("curious", &["select 'before'", &sql, "select 'after'"]))
    };
    let agent = ask(4711);
    let id = waiting(lead(), "curious");
    let approved = with_token(lead(), &["approve", &id]);
    assert!(approved.status.success(), "{}", approved.all());
    let said = agent.join().unwrap();
    assert!(said.contains(&format!("waiting for approval {id}")), "{said}");
    assert_eq!(said.matches("seen 4711|").count(), 150, "{said}");
    assert!(said.ends_with("after\n"), "{said}");

    let agent = ask(4712);
    let id = waiting(lead(), "curious");
    assert!(with_token(lead(), &["deny", &id, "--reason", "too many"]).status.success());
    let said = agent.join().unwrap();
    assert!(said.contains("too many") && !said.contains("seen 4712|"), "{said}");
    assert!(said.ends_with("after\n"), "{said}");
    assert!(gateway().site().ask(&["verify"], "").unwrap().status.success());
}
