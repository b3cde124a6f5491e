//! P11: decisions replay exactly. P12: what people do with the record is in the record.

use crate::people::{operator, waiting, with_token};
use crate::raw::{Raw, code, query};
use crate::scan::{Record, records};
use crate::world::{POLICY, agent, eventually, good_at, newest_run, own};
use interop::gateway::Gateway;
use serde_json::Value;

fn replay(gateway: &Gateway, words: &[&str]) -> (Option<i32>, Value) {
    let said = gateway.site().ask(&[&["policy", "replay", "--json"], words].concat(), "").unwrap();
    let answer = serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()));
    (said.status.code(), answer)
}

#[test]
fn every_recorded_decision_comes_out_the_same_and_a_new_policy_lists_what_differs() {
    let gateway = own("replayed", |plan| plan.durability = "os".to_owned());
    let done = agent(
        &gateway,
        "psql -X -c 'select * from customers' -c 'select count(*) from orders where amount > 10' \
         -c \"insert into pad (t) values ('x')\" -c 'drop table orders' -c 'copy pad to stdout' \
         -c \"do \\$\\$ begin end \\$\\$\" -c 'begin' -c 'savepoint a' -c 'select 1' -c 'rollback'",
    );
    assert!(done.err().contains("no-define"), "{}", gateway.explain(&done));
    let writes = newest_run(gateway.site());
    // One that asks and is granted, one that is denied: the recorded approvals are part of the request.
    let lead = operator(&gateway, "lena", "approver", "leads");
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for verb in ["approve", "deny"] {
        client.send(&query("UPDATE orders SET note = 'x' WHERE id = 1"));
        let ask = waiting(&gateway, &lead, "orders");
        let words = if verb == "deny" { vec!["deny", &ask, "--reason", "no"] } else { vec!["approve", &ask] };
        assert!(with_token(&gateway, &lead, &words).status.success());
        assert_eq!(code(&client.until_ready().unwrap()).is_some(), verb == "deny");
    }
    let (status, same) = replay(&gateway, &[]);
    assert!(same["decided"].as_u64().unwrap() >= 12, "{same}");
    for what in ["unfaithful", "different", "unread"] {
        assert_eq!(same[what].as_array().unwrap().len(), 0, "{what}: {same}");
    }
    assert_eq!(status, Some(0));
    // Without the rule by which testers write, what they wrote comes out otherwise, and nothing else.
    let stricter = gateway.site().dir().join("stricter");
    std::fs::create_dir(&stricter).unwrap();
    let text = POLICY.replace(
        "Agent::\"tester\", action == Action::\"write\"",
        "Agent::\"nobody\", action == Action::\"write\"",
    );
    assert_ne!(text, POLICY);
    std::fs::write(stricter.join("rules.cedar"), text).unwrap();
    let (status, other) = replay(&gateway, &[&stricter.display().to_string()]);
    let different = other["different"].as_array().unwrap();
    assert_eq!(status, Some(1), "{other}");
    assert_eq!(different.len(), 1, "{other}");
    assert_eq!((&different[0]["was"], &different[0]["is"]), (&"allow".into(), &"refuse".into()), "{other}");
    assert!(
        different[0]["statement"].as_str().unwrap().to_lowercase().contains("insert into pad"),
        "{other}"
    );
    let (_, of_one) = replay(&gateway, &["--run", &writes, &stricter.display().to_string()]);
    assert_eq!(of_one["different"], other["different"]);
    assert!(of_one["decided"].as_u64() < other["decided"].as_u64());
}

/// The records of a kind, whole.
fn of<'a>(records: &'a [Record], kind: &str, words: &[&str]) -> Vec<&'a Record> {
    let all = records.iter().filter(|r| r.has(kind));
    all.filter(|record| words.iter().all(|word| record.has(word))).collect()
}

#[test]
fn each_look_export_approval_and_change_is_a_record_with_a_name() {
    let gateway = own("watched", |plan| plan.durability = "os".to_owned());
    let done = agent(&gateway, "psql -X -c 'select * from customers'");
    good_at(&gateway, &done);
    let (site, run) = (gateway.site(), newest_run(gateway.site()));
    for words in [
        vec!["show", &run],
        vec!["replay", &run],
        vec!["who", &run],
        vec!["touched", &run],
        vec!["exposed", &run],
        vec!["find", "verb:read"],
        vec!["diff", &run, &run],
        vec!["export", &run, "--as", "bundle", "-o", "b"],
        vec!["export", &run, "--as", "html", "-o", "h"],
        vec!["verify"],
        vec!["policy", "replay"],
    ] {
        let said = site.ask(&words, "").unwrap();
        assert!(!matches!(said.status.code(), Some(2)), "{words:?}: {}", said.all());
    }
    let said = site.ask(&["exposed", "--value", "-"], "536-22-8391\n").unwrap();
    assert!(!said.all().contains("536-22-8391"), "{}", said.all());
    let lead = operator(&gateway, "lena", "approver", "leads");
    let admin = operator(&gateway, "olga", "admin", "none");
    let lease = gateway.lease("asker").unwrap();
    let mut client = Raw::log_in(&gateway, &lease);
    for yes in [true, false] {
        client.send(&query("UPDATE orders SET note = 'x' WHERE id = 1"));
        let ask = waiting(&gateway, &lead, "orders");
        let words = if yes { vec!["approve", &ask] } else { vec!["deny", &ask, "--reason", "no"] };
        assert!(with_token(&gateway, &lead, &words).status.success());
        client.until_ready().unwrap();
    }
    let revoked =
        with_token(&gateway, &admin, &["runs", "revoke", lease.variable("TACHO_RUN"), "--reason", "done"]);
    assert!(revoked.status.success(), "{}", revoked.all());
    gateway.signal("HUP");
    eventually("the policy is read again", || gateway.log().contains("policy is reloaded").then_some(()));
    assert!(site.ask(&["operator", "remove", "olga"], "").unwrap().status.success());
    assert!(with_token(&gateway, &lead, &["approvals"]).status.success());
    // The same name with more rights, while nobody looked.
    let file = site.dir().join("tacho-keys/operators.toml");
    let known = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, known.replace("\"approver\"", "\"admin\"")).unwrap();
    assert!(!with_token(&gateway, &lead, &["approvals"]).status.success(), "no approver any more");
    let site = gateway.stop();
    let all = records(&site.ledger());
    for verb in ["runs", "show", "replay", "who", "touched", "exposed", "find", "diff", "export", "approvals"]
    {
        assert!(!of(&all, "watch", &[verb]).is_empty(), "no record of `{verb}`");
    }
    assert!(of(&all, "watch", &["export"]).len() >= 2);
    assert!(!of(&all, "watch", &["approvals", "lena"]).is_empty(), "who looked at the inbox is not named");
    for (verb, who) in [
        ("operator-add", "lena"),
        ("operator-add", "olga"),
        ("operator-remove", "olga"),
        ("operator-change", "lena: roles admin"),
        ("revoke", "olga"),
    ] {
        assert!(!of(&all, "admin", &[verb, who]).is_empty(), "no record of `{verb}` {who}");
    }
    assert!(!of(&all, "admin", &["policy-reload"]).is_empty());
    for verdict in ["granted", "denied"] {
        assert!(!of(&all, "approval", &[verdict, "lena"]).is_empty(), "no record of what was {verdict}");
    }
    // The value that somebody asked for is in none of them.
    let net = crate::scan::Net::new(["536-22-8391"]);
    assert_eq!(net.search_files(&site.dir()), Vec::<String>::new());
}
