//! P9: whose an action is, the credential says that the gateway minted, and nothing that a client says of itself.

use crate::raw::Raw;
use crate::world::{drivers, eventually, good_at, json, own};
use interop::gateway::{Gateway, HUMAN, Lease};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// `tester` may start both others, and `child` a `grandchild`; `tester` and `grandchild` may write, and `child` may not.
const SPAWNS: &str = r#"
@id("tester-spawns")
permit (principal in Agent::"tester", action == Action::"spawn", resource)
when { resource == Agent::"child" || resource == Agent::"grandchild" };
@id("child-spawns")
permit (principal in Agent::"child", action == Action::"spawn", resource == Agent::"grandchild");
@id("grandchild-writes")
permit (principal in Agent::"grandchild", action == Action::"write", resource in Resource::"crm");
"#;

fn gateway(database: &str) -> Gateway {
    own(database, |plan| {
        plan.durability = "os".to_owned();
        plan.policy.push_str(SPAWNS);
        plan.tables = format!("\n[[human]]\nname = \"grace\"\n# {HUMAN} starts no run for her.\n");
    })
}

/// Statements of a run in the record, by the name that each has in its text.
fn statements(gateway: &Gateway, run: &str) -> Vec<String> {
    let shown = json(gateway.site(), &["show", run, "--json"]);
    let actions = shown["actions"].as_array().unwrap();
    assert!(actions.iter().all(|action| action["run"] == run), "{shown}");
    actions.iter().map(|action| action["statement"].as_str().unwrap().to_owned()).collect()
}

/// One process with the credentials of two runs and four connections, used in turn: a pool that several agents share.
#[test]
fn in_a_shared_pool_each_action_belongs_to_the_run_whose_credential_it_used() {
    let gateway = gateway("shared");
    let leases = [gateway.lease("tester").unwrap(), gateway.lease("asker").unwrap()];
    let mut pool: Vec<(usize, Raw)> =
        (0..4).map(|n| (n % 2, Raw::log_in(&gateway, &leases[n % 2]))).collect();
    for turn in 0..40 {
        let (of, client) = &mut pool[turn * 7 % 4];
        // What the client says of itself is somebody else's.
        let other = leases[1 - *of].variable("TACHO_RUN");
        client.query(&format!("SET application_name = 'run {other}'")).unwrap();
        let sql = format!(
            "/* traceparent='00-{other}-0000000000000001-01' */ SELECT {turn} AS of_{of}_turn_{turn}"
        );
        let answer = client.query(&sql).unwrap();
        assert_eq!(crate::raw::code(&answer), None);
    }
    for (of, lease) in leases.iter().enumerate() {
        let own: Vec<String> = statements(&gateway, lease.variable("TACHO_RUN"));
        let count = own.iter().filter(|sql| sql.contains(&format!("of_{of}_turn_"))).count();
        assert_eq!(count, 20, "{own:?}");
        assert!(!own.iter().any(|sql| sql.contains(&format!("of_{}_turn_", 1 - of))), "{own:?}");
    }
}

#[test]
fn a_name_without_its_password_is_nobody() {
    let gateway = gateway("forged");
    let leases = [gateway.lease("tester").unwrap(), gateway.lease("asker").unwrap()];
    let (port, database) = (gateway.site().port, leases[0].variable("PGDATABASE"));
    let [a, b] = &leases;
    for (user, password) in [
        (a.user(), b.password()),
        (b.user(), a.password()),
        (a.variable("TACHO_RUN"), a.password()),
        (a.user(), a.variable("TACHO_RUN_TOKEN")),
        ("crm_app", crate::world::UPSTREAM_PASSWORD),
        ("postgres", interop::postgres::SUPER_PASSWORD),
        ("", a.password()),
        (a.user(), ""),
    ] {
        let refused = Raw::log_in_as(port, user, password, database).err();
        let refused = refused.unwrap_or_else(|| panic!("{user} gets in"));
        assert!(refused.starts_with("28P01") || refused.starts_with("28000"), "{user}: {refused}");
    }
    // It is recorded that somebody tried, in one record for all of them.
    let site = gateway.stop();
    let records = crate::scan::records(&site.ledger());
    let turned_away =
        records.iter().filter(|record| record.has("admin") && record.has("turned-away")).count();
    assert!(turned_away >= 1, "no record of the strangers");
}

fn post(lease: &Lease, gateway: &Gateway, token: &str, body: &str) -> String {
    let mut curl = Command::new("curl");
    curl.args([
        "-s",
        "-w",
        "\n%{http_code}",
        "-X",
        "POST",
        "-H",
        "content-type: application/json",
        "-d",
        body,
    ]);
    curl.args(["-H", &format!("Authorization: Bearer {token}")]);
    assert!(lease.variable("TACHO_URL").ends_with(&gateway.site().console.to_string()));
    curl.arg(format!("{}/v1/runs", lease.variable("TACHO_URL")));
    finish(&mut curl, b"", CLIENT_SECONDS_MAX).unwrap().out()
}

#[test]
fn a_child_keeps_its_human_and_may_do_only_what_all_above_it_may() {
    let gateway = gateway("children");
    let tacho = drivers().file("tacho-of-children", "").unwrap();
    std::fs::copy(interop::programs::tacho().unwrap(), &tacho).unwrap();
    let tacho = tacho.display();
    let innermost = "echo RUN $TACHO_RUN\npsql -X -At -c \"insert into pad (t) values ('grand') returning t\"\n\
                     psql -X -At -c 'select 1 as by_the_grandchild'\n";
    let innermost = drivers().file("innermost.sh", innermost).unwrap();
    let script = format!(
        "psql -X -At -c \"insert into pad (t) values ('outer') returning t\"; \
         {tacho} run --agent child -- {tacho} run --agent grandchild -- sh {}",
        innermost.display()
    );
    let done = gateway.run_to_end("tester", &["/bin/sh", "-c", &script].map(Path::new), "").unwrap();
    good_at(&gateway, &done);
    assert!(done.out().contains("outer\n"), "{}", gateway.explain(&done));
    // `child` may not write, so nothing below it may, whatever `grandchild` is permitted alone.
    assert!(
        !done.out().contains("grand\n") && done.err().contains("No rule permits `write`"),
        "{}",
        gateway.explain(&done)
    );
    let run = done.out().lines().find_map(|line| line.strip_prefix("RUN ")).unwrap().to_owned();
    let who = json(gateway.site(), &["who", &run, "--json"]);
    assert_eq!(who["run"]["agent"], "grandchild", "{who}");
    assert_eq!(who["run"]["human"], HUMAN, "{who}");
    let parents: Vec<&str> =
        who["parents"].as_array().unwrap().iter().map(|parent| parent["agent"].as_str().unwrap()).collect();
    assert_eq!(parents, ["child", "tester"], "{who}");
    assert!(statements(&gateway, &run).iter().any(|sql| sql.contains("by_the_grandchild")));
    // Each was closed by its own `tacho run`, with the command's status; nobody was interrupted.
    let runs = json(gateway.site(), &["runs", "--json"]);
    for run in runs["runs"].as_array().unwrap() {
        assert_eq!(run["state"], "exited", "{run}");
    }
}

#[test]
fn nobody_mints_for_somebody_else_and_nobody_with_a_forged_token() {
    let gateway = gateway("minting");
    let lease = gateway.lease("tester").unwrap();
    let token = lease.variable("TACHO_RUN_TOKEN");
    for (what, token, body, expected) in [
        ("its own human", token, r#"{"agent":"child"}"#, "200"),
        ("another human", token, r#"{"agent":"child","for":"grace"}"#, "403"),
        ("an agent that it may not start", token, r#"{"agent":"stranger"}"#, "403"),
        ("a forged token", &token.replace('.', ".0"), r#"{"agent":"child"}"#, "401"),
        ("half a token", &token[..40], r#"{"agent":"child"}"#, "401"),
        ("no token", "", r#"{"agent":"child"}"#, "401"),
    ] {
        let said = post(&lease, &gateway, token, body);
        assert_eq!(said.lines().last(), Some(expected), "{what}: {said}");
        if expected != "200" {
            assert!(!said.contains("password"), "{what}: {said}");
            continue;
        }
        // Confinement is the outer run's, whatever the agent says; the child is closed by its parent.
        let minted: Value = serde_json::from_str(said.rsplit_once('\n').unwrap().0).unwrap();
        let run = minted["run"].as_str().unwrap();
        let who = json(gateway.site(), &["who", run, "--json"]);
        assert_eq!(who["parents"][0]["run"], lease.variable("TACHO_RUN"), "{who}");
        let mut close = Command::new("curl");
        close.args(["-s", "-w", "%{http_code}", "-X", "POST", "-H", "content-type: application/json"]);
        close.args(["-d", r#"{"status":0}"#, "-H", &format!("Authorization: Bearer {token}")]);
        close.arg(format!("{}/v1/runs/{run}/close", lease.variable("TACHO_URL")));
        assert_eq!(finish(&mut close, b"", CLIENT_SECONDS_MAX).unwrap().out(), "204");
        eventually("the child is closed", || {
            let who = json(gateway.site(), &["who", run, "--json"]);
            (who["run"]["state"] == "exited").then_some(())
        });
        // Its own run a run does not close: what started it does.
        let own = format!("{}/v1/runs/{}/close", lease.variable("TACHO_URL"), lease.variable("TACHO_RUN"));
        let mut close = Command::new("curl");
        close.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST"]);
        close.args(["-H", "content-type: application/json", "-d", "{}"]);
        close.args(["-H", &format!("Authorization: Bearer {token}"), &own]);
        assert_eq!(finish(&mut close, b"", CLIENT_SECONDS_MAX).unwrap().out(), "403");
    }
}
