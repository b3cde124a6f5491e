//! P8: an approval is worth one request: these bytes, this run, this session, now.

use crate::people::{asked, operator, waiting, with_token};
use crate::raw::{Raw, code, field, message, query};
use crate::world::{POLICY, eventually, json, newest_run, own, upstream};
use interop::gateway::{Gateway, HUMAN};
use interop::process::finish;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

fn gateway(database: &str, seconds: u32) -> (Gateway, String) {
    let gateway = own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.gateway_lines = format!("approval_timeout = \"{seconds}s\"");
    });
    let lead = operator(&gateway, "lena", "approver", "leads");
    (gateway, lead)
}

fn note(database: &str, order: u32) -> String {
    upstream().admin(database, &format!("SELECT note FROM orders WHERE id = {order}")).unwrap()
}

fn update(order: u32, to: &str) -> String {
    format!("UPDATE orders SET note = '{to}' WHERE id = {order}")
}

#[test]
fn an_approval_is_for_these_bytes_and_spent_once() {
    let (gateway, lead) = gateway("bind", 20);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&query(&update(1, "first")));
    let ask = waiting(&gateway, &lead, "note");
    // While it waits the client sends another statement after it: the approval is not for that one.
    client.send(&query(&update(1, "swapped")));
    let said = with_token(&gateway, &lead, &["approve", &ask]);
    assert!(said.status.success(), "{}", said.all());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(note("bind", 1), "first");
    // The second one asks for itself, with an id of its own.
    let second = waiting(&gateway, &lead, "note");
    assert_ne!(second, ask);
    assert_eq!(with_token(&gateway, &lead, &["approve", &ask]).status.code(), Some(1), "spent");
    assert!(with_token(&gateway, &lead, &["deny", &second, "--reason", "no"]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(note("bind", 1), "first");
    // The very same bytes again, on the same and on another session: asked again each time.
    for client in [&mut client, &mut Raw::log_in(&gateway, &lease)] {
        client.send(&query(&update(1, "first")));
        let again = waiting(&gateway, &lead, "note");
        assert!(with_token(&gateway, &lead, &["deny", &again, "--reason", "no"]).status.success());
        assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    }
}

#[test]
fn a_shape_is_for_this_run_and_not_for_one_byte_of_another_statement() {
    let (gateway, lead) = gateway("bind_shape", 20);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&query(&update(1, "one")));
    let ask = waiting(&gateway, &lead, "note");
    let said = with_token(&gateway, &lead, &["approve", &ask, "--shape", "5"]);
    assert!(said.status.success(), "{}", said.all());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    // Other literals in the same shape need no new yes.
    assert_eq!(code(&client.query(&update(2, "two")).unwrap()), None);
    assert_eq!(note("bind_shape", 2), "two");
    let deny = |what: &str| {
        let ask = waiting(&gateway, &lead, "orders");
        assert!(with_token(&gateway, &lead, &["deny", &ask, "--reason", what]).status.success());
    };
    // One byte changed: another operator.
    client.send(&query("UPDATE orders SET note = 'three' WHERE id > 3"));
    deny("another operator");
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    // The same statement in another run.
    let other = gateway.lease("asker").unwrap();
    let mut stranger = Raw::log_in(&gateway, &other);
    stranger.send(&query(&update(3, "three")));
    deny("another run");
    assert_eq!(code(&stranger.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(note("bind_shape", 3), "customer asks for the money back");
}

/// Prepares a statement by a message of the protocol, so that no statement says what the name stands for.
fn prepare(client: &mut Raw, name: &str, sql: &str) {
    let body = [name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat();
    client.send(&[message(b'P', &body), message(b'S', b"")].concat());
    assert_eq!(code(&client.until_ready().unwrap()), None, "{sql}");
}

#[test]
fn what_runs_by_a_name_is_approved_with_what_the_name_stands_for() {
    let (gateway, lead) = gateway("bind_names", 20);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    prepare(&mut client, "q", "UPDATE orders SET note = 'named' WHERE id = $1");
    client.send(&query("EXECUTE q(1) -- one"));
    let ask = waiting(&gateway, &lead, "orders");
    let shown = asked(&gateway, &lead, "orders").unwrap();
    let statement = shown["statement"].as_str().unwrap();
    assert!(statement.starts_with("EXECUTE q(?) "), "{statement}");
    assert!(statement.ends_with("= UPDATE orders SET note = '?' WHERE id = $1"), "{statement}");
    assert!(with_token(&gateway, &lead, &["approve", &ask, "--shape", "5"]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(code(&client.query("EXECUTE q(2) -- two").unwrap()), None, "the same statement");
    assert_eq!(note("bind_names", 2), "named");
    // Another statement of the same name, that uses the same columns.
    assert_eq!(code(&client.query("DEALLOCATE q").unwrap()), None);
    prepare(&mut client, "q", "UPDATE orders SET note = 'named' WHERE id <> $1");
    client.send(&query("EXECUTE q(3) -- three"));
    let ask = waiting(&gateway, &lead, "orders");
    assert!(with_token(&gateway, &lead, &["deny", &ask, "--reason", "no"]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(note("bind_names", 4), "");
}

#[test]
fn nobody_is_asked_where_a_name_is_masked() {
    let (gateway, lead) = gateway("bind_masked", 20);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for sql in [
        r#"UPDATE orders AS "a@b.com" SET note = 'x' FROM orders AS "c@d.com" WHERE "a@b.com".id = "c@d.com".id"#,
        "UPDATE orders SET note = 'x' WHERE id-@orders.amount > 0",
        "UPDATE orders SET note = 'x' FROM (SELECT 1) AS \"a\u{200b}b\" WHERE id = 3",
    ] {
        assert_eq!(code(&client.query(sql).unwrap()).as_deref(), Some("54000"), "{sql}");
    }
    // What stands in a literal or a comment hides nothing of what it does.
    client.send(&query("UPDATE orders SET note = 'a@b.com' WHERE id = 1 -- c@d.com"));
    let ask = waiting(&gateway, &lead, "orders");
    assert!(with_token(&gateway, &lead, &["approve", &ask]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()), None);
}

#[test]
fn an_approval_counts_no_longer_than_its_approver_may_give_it() {
    let (gateway, lead) = gateway("bind_gone", 20);
    let otto = operator(&gateway, "otto", "approver", "leads");
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&query(&update(1, "one")));
    let ask = waiting(&gateway, &otto, "note");
    assert!(with_token(&gateway, &otto, &["approve", &ask, "--shape", "5"]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(code(&client.query(&update(2, "two")).unwrap()), None);
    // Of a text of two statements the first is approved, and the second waits.
    client.send(&query(
        "UPDATE orders SET status = 'x' WHERE id = 1; UPDATE orders SET amount = 1 WHERE id = 1",
    ));
    let ask = waiting(&gateway, &otto, "status");
    assert!(with_token(&gateway, &otto, &["approve", &ask]).status.success());
    let ask = waiting(&gateway, &lead, "amount");
    assert!(gateway.site().ask(&["operator", "remove", "otto"], "").unwrap().status.success());
    assert!(with_token(&gateway, &lead, &["approve", &ask]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    let status =
        upstream().admin("bind_gone", "SELECT count(*) FROM orders WHERE status = 'x' OR amount = 1");
    assert_eq!(status.unwrap(), "0");
    // And the shape that he granted stands no more.
    client.send(&query(&update(2, "three")));
    let ask = waiting(&gateway, &lead, "note");
    assert!(with_token(&gateway, &lead, &["deny", &ask, "--reason", "no"]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()).as_deref(), Some("42501"));
    assert_eq!(note("bind_gone", 2), "two");
}

#[test]
fn rules_about_task_and_time_hold_from_the_first_connect() {
    let rules = r#"
@id("no-past") forbid (principal, action, resource) when { context.unix < 1000000000 };
@id("no-sweeps") forbid (principal, action == Action::"read", resource) when { context has task && context.task == "sweep" };
"#;
    let gateway = own("bind_context", |plan| plan.policy = format!("{POLICY}\n{rules}"));
    let read = |task: &str| {
        let words = ["/bin/sh", "-c", "psql -X -At -c 'SELECT note FROM orders WHERE id = 1'"].map(Path::new);
        gateway.run_titled("tester", task, &words).unwrap()
    };
    let done = read("look");
    assert!(done.status.success(), "{}", gateway.explain(&done));
    let done = read("sweep");
    assert!(!done.status.success() && done.err().contains("no-sweeps"), "{}", gateway.explain(&done));
}

/// A pair of SSH keys; the file of the private one.
pub fn ssh_key(gateway: &Gateway, name: &str) -> PathBuf {
    let file = gateway.site().dir().join(name);
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file);
    assert!(keygen.status().unwrap().success());
    file
}

/// `ssh-keygen -Y verify`, as anybody would who has nothing but the record.
pub fn verifies(gateway: &Gateway, signed: &Value, text: &str) -> bool {
    let dir = gateway.site().dir();
    let (signers, signature) = (dir.join("signers"), dir.join("signature"));
    let by = signed["by"].as_str().unwrap();
    std::fs::write(&signers, format!("{by} {}\n", signed["key"].as_str().unwrap())).unwrap();
    std::fs::write(&signature, signed["signature"].as_str().unwrap()).unwrap();
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-Y", "verify", "-q", "-n", "tachograph-approval", "-I", by, "-f"]).arg(&signers);
    let done = finish(keygen.arg("-s").arg(&signature), text.as_bytes(), Duration::from_secs(30)).unwrap();
    done.status.success()
}

#[test]
fn a_signed_approval_is_held_against_the_record_by_anybody() {
    let (gateway, _lead) = gateway("bind_signed", 20);
    let (own, others) = (ssh_key(&gateway, "sara"), ssh_key(&gateway, "eve"));
    let public = own.with_extension("pub");
    let words = ["operator", "add", "sara", "--role", "approver", "--group", "leads", "--json", "--ssh-key"];
    let said = gateway.site().ask(&[&words[..], &[public.to_str().unwrap()]].concat(), "").unwrap();
    let said: Value = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    let sara = said["token"].as_str().unwrap().to_owned();
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&query(&update(1, "signed")));
    let ask = waiting(&gateway, &sara, "note");
    let sign = |key: &Path, more: &[&str]| {
        let words = [&["approve", &ask, "--sign", key.to_str().unwrap()][..], more].concat();
        with_token(&gateway, &sara, &words)
    };
    let refused = sign(&others, &[]);
    assert!(!refused.status.success() && refused.all().contains("not sara's"), "{}", refused.all());
    assert_eq!(note("bind_signed", 1), "");
    let granted = sign(&own, &["--shape", "5"]);
    assert!(granted.status.success(), "{}", granted.all());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    drop(client);

    let run = newest_run(gateway.site());
    let shown = json(gateway.site(), &["show", &run, "--json"]);
    let asked = &shown["actions"].as_array().unwrap().iter().find(|a| a["ask"].is_object()).unwrap()["ask"];
    let signed = &asked["approvals"][0]["signatures"][0];
    let text = signed["text"].as_str().unwrap_or_else(|| panic!("{shown:#}"));
    assert!(text.contains("\nstatement UPDATE orders SET note = '?' WHERE id = ?\n"), "{text}");
    assert!(text.contains("\nform shape 5\n") && signed["by"] == "sara", "{text}");
    assert!(verifies(&gateway, signed, text), "{signed:#}");
    for (from, to) in [("shape 5", "shape 480"), ("SET note", "SET status"), (&ask[..8], "00000000")] {
        assert!(!verifies(&gateway, signed, &text.replace(from, to)), "{from}");
    }
    let told = gateway.site().ask(&["show", &run], "").unwrap().out();
    assert!(told.contains("a signature as sara with ssh-ed25519"), "{told}");
}

#[test]
fn of_two_answers_at_the_same_moment_one_counts() {
    let (gateway, lead) = gateway("bind_race", 20);
    let other = operator(&gateway, "otto", "approver", "leads");
    for round in 0..4 {
        let lease = gateway.lease("asker").unwrap();
        let mut client = Raw::log_in(&gateway, &lease);
        client.send(&query(&update(4, &format!("round {round}"))));
        let ask = waiting(&gateway, &lead, "note");
        let start = Barrier::new(4);
        let answers: Vec<(bool, bool)> = thread::scope(|scope| {
            let answer = |token: &str, yes: bool| {
                start.wait();
                let words: &[&str] = if yes { &["approve", &ask] } else { &["deny", &ask, "--reason", "no"] };
                (yes, with_token(&gateway, token, words).status.success())
            };
            let all = [(&lead, true), (&other, false), (&other, true), (&lead, false)];
            let all = all.map(|(token, yes)| scope.spawn(move || answer(token, yes)));
            all.map(|one| one.join().unwrap()).to_vec()
        });
        let good: Vec<bool> = answers.iter().filter(|(_, good)| *good).map(|(yes, _)| *yes).collect();
        assert_eq!(good.len(), 1, "round {round}: {answers:?}");
        let refused = code(&client.until_ready().unwrap());
        assert_eq!(refused.is_none(), good[0], "round {round}: {refused:?}");
        assert_eq!(note("bind_race", 4) == format!("round {round}"), good[0]);
    }
}

#[test]
fn silence_is_a_no_and_so_is_a_client_that_went_away() {
    let (gateway, lead) = gateway("bind_silence", 2);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    let begun = Instant::now();
    client.send(&query(&update(4, "late")));
    let ask = waiting(&gateway, &lead, "note");
    let answer = client.until_ready().unwrap();
    assert_eq!(code(&answer).as_deref(), Some("42501"));
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(with_token(&gateway, &lead, &["approve", &ask]).status.code(), Some(1), "it has expired");
    client.send(&query(&update(4, "gone")));
    let ask = waiting(&gateway, &lead, "note");
    drop(client);
    eventually("the question outlives its client", || asked(&gateway, &lead, "note").is_none().then_some(()));
    assert_eq!(with_token(&gateway, &lead, &["approve", &ask]).status.code(), Some(1), "nobody waits for it");
    assert_eq!(note("bind_silence", 4), "");
    let run = lease.variable("TACHO_RUN");
    let verdicts = json(gateway.site(), &["show", run, "--json"])["actions"].to_string();
    assert!(verdicts.contains("\"expired\"") && verdicts.contains("\"withdrawn\""), "{verdicts}");
}

#[test]
fn after_a_restart_nothing_is_owed() {
    let (gateway, lead) = gateway("bind_restart", 30);
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    client.send(&query(&update(4, "after the restart")));
    let ask = waiting(&gateway, &lead, "note");
    let gateway = gateway.crash().up().unwrap();
    client.read_to_end();
    assert_eq!(with_token(&gateway, &lead, &["approve", &ask]).status.code(), Some(1));
    assert!(asked(&gateway, &lead, "note").is_none());
    let user = (lease.user(), lease.password(), lease.variable("PGDATABASE"));
    let refused = Raw::log_in_as(gateway.site().port, user.0, user.1, user.2).err().unwrap();
    assert!(refused.starts_with("28P01"), "the run died with its gateway: {refused}");
    assert_eq!(note("bind_restart", 4), "");
}

/// A token that the agent got hold of: shown from inside of the run it is worth nothing, on any way to the API.
#[test]
fn a_stolen_operator_token_approves_nothing_from_inside_a_run() {
    let (gateway, lead) = gateway("bind_stolen", 20);
    let victim = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &victim);
    client.send(&query(&update(1, "stolen")));
    let ask = waiting(&gateway, &lead, "note");
    let console = gateway.site().console;
    let curl = |data: &str, path: &str| {
        format!(
            "curl -s -o /dev/null -w '%{{http_code}} ' --max-time 10 -H 'Authorization: Bearer {lead}' \
             -H 'content-type: application/json' {data} http://127.0.0.1:{console}{path}; "
        )
    };
    let script = [
        curl("-d '{}'", &format!("/v1/approvals/{ask}/approve")),
        curl("", "/v1/approvals"),
        curl("", "/v1/status"),
        // In the background, with its parent gone, and from a namespace of its own.
        format!("(setsid sh -c \"{}\" > out 2>&1 &); sleep 3; cat out; ", curl("", "/v1/approvals").replace('"', "\\\"")),
        format!("unshare -Ur {}", curl("", "/v1/approvals")),
        // At the form of the pages.
        format!(
            "curl -s -o /dev/null -w '%{{http_code}} ' --max-time 10 -d token={lead} http://127.0.0.1:{console}/login; "
        ),
        format!("TACHO_OPERATOR_TOKEN={lead} tacho approve {ask} --url http://127.0.0.1:{console} >&2; echo exit $?"),
    ]
    .concat();
    let tacho = interop::programs::tacho().unwrap();
    let public = crate::world::drivers().file("tacho", "").unwrap();
    std::fs::copy(&tacho, &public).unwrap();
    let script = script.replace("tacho approve", &format!("{} approve", public.display()));
    let script = format!("cd $HOME; {script}");
    let done =
        gateway.run_to_end("tester", &["/bin/sh", "-c", &script].map(std::path::Path::new), "").unwrap();
    assert_eq!(done.out().trim(), "403 403 403 403 403 403 exit 1", "{}", gateway.explain(&done));
    // The same from outside of every run is what it was made for.
    let outside = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", &format!("Authorization: Bearer {lead}")])
        .arg(format!("http://127.0.0.1:{console}/v1/approvals"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(outside.stdout).unwrap(), "200");
    assert!(with_token(&gateway, &lead, &["deny", &ask, "--reason", "no"]).status.success());
    let refused = client.until_ready().unwrap();
    assert_eq!(code(&refused).as_deref(), Some("42501"));
    assert_eq!(note("bind_stolen", 1), "", "{}", field(&refused[0].1, b'M'));
    // And it is in the record that somebody inside a run had it.
    drop((client, victim));
    let site = gateway.stop();
    let told = crate::scan::records(&site.ledger());
    assert!(told.iter().any(|record| record.has("operator-refused") && record.has("lena")));
}

/// `@needs("initiator")` is for people who watch over their own agent: the run's human approves there, and nowhere else.
#[test]
fn the_runs_own_human_approves_where_the_rule_asks_for_the_initiator_and_nowhere_else() {
    let gateway = own("bind_own", |plan| {
        plan.durability = "os".to_owned();
        plan.policy = format!(
            "{POLICY}\n@id(\"mine-writes\")\npermit (principal in Agent::\"mine\", action == Action::\"write\", \
             resource in Resource::\"crm\");\n@id(\"mine-asks\")\n@needs(\"initiator\")\nforbid (principal in Agent::\"mine\", \
             action == Action::\"write\", resource) unless {{ context.approvals.contains(\"initiator\") }};\n"
        );
    });
    let own = operator(&gateway, HUMAN, "approver", "leads");
    let lead = operator(&gateway, "lena", "approver", "leads");
    // A group of that name is none.
    let posing = operator(&gateway, "otto", "approver", "initiator");
    let (mine, asker) = (gateway.lease("mine").unwrap(), gateway.lease("asker").unwrap());
    let mut client = Raw::log_in(&gateway, &mine);
    client.send(&query(&update(1, "by its own human")));
    let ask = waiting(&gateway, &own, "note");
    for other in [&lead, &posing] {
        assert_eq!(with_token(&gateway, other, &["approve", &ask]).status.code(), Some(1));
    }
    let said = with_token(&gateway, &own, &["approve", &ask]);
    assert!(said.status.success(), "{}", said.all());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(note("bind_own", 1), "by its own human");
    // Where the rule asks for leads, being one is not enough for one's own run.
    let mut client = Raw::log_in(&gateway, &asker);
    client.send(&query(&update(2, "by a lead")));
    let ask = waiting(&gateway, &lead, "note");
    for other in [&own, &posing] {
        assert_eq!(with_token(&gateway, other, &["approve", &ask]).status.code(), Some(1));
    }
    assert!(with_token(&gateway, &lead, &["approve", &ask]).status.success());
    assert_eq!(code(&client.until_ready().unwrap()), None);
    assert_eq!(note("bind_own", 2), "by a lead");
}
