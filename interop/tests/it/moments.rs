//! What is decided when it is asked, and what is recorded of the values that were in it: parameters, literals and
//! revealed cells.

use crate::world::{POLICY, fill, plan, upstream};
use interop::gateway::{Gateway, Lease, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Agent `seer` sees e-mail addresses; nobody asks with card numbers.
const RULES: &str = r#"
@id("seer-sees")
permit (principal in Agent::"seer", action == Action::"reveal", resource == Class::"pii.email");
@id("no-cards-asked")
@message("A card number has no place in a question.")
forbid (principal, action == Action::"read", resource) when { context.classes.contains("pii.card") };
"#;

fn own(database: &str) -> Gateway {
    fill(upstream(), database);
    let mut plan = plan();
    plan.database = database.to_owned();
    plan.policy = rules(database, RULES);
    plan.durability = "os".to_owned();
    Gateway::start(&plan, upstream()).unwrap()
}

fn rules(database: &str, more: &str) -> String {
    format!("{POLICY}{more}").replace("crm/crm/", &format!("crm/{database}/"))
}

fn block_on<T>(body: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(CLIENT_SECONDS_MAX, body).await.expect("it hangs") })
}

async fn connect(lease: &Lease) -> Client {
    let (client, connection) = tokio_postgres::connect(lease.variable("DATABASE_URL"), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn json(site: &Site, words: &[&str], input: &str) -> Value {
    let said = site.ask(words, input).unwrap();
    serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("{}", said.all()))
}

/// What `exposed --value -` answers about a value in the newest run.
fn exposed_value(site: &Site, value: &str) -> Value {
    json(site, &["exposed", "--value", "-", "--json"], value)
}

#[test]
fn values_that_were_sent_or_revealed_are_found_by_value_and_counted_once() {
    let gateway = own("values");
    // Five addresses, 3,000 times each: far more than one record releases.
    let script = "psql -X -qAt -c \"select email from customers, generate_series(1, 3000)\" | sort | uniq -c; \
                  psql -X -qAt -c \"select 'x' where 'said in a literal: 899-12-4455' = ''\" \
                               -c \"select 1 where \\$1 = ''\"; \
                  psql -X -qAt -c \"select id from orders where note = '4539578763621486'\"";
    let done = gateway.run_to_end("seer", &["/bin/sh", "-c", script].map(Path::new), "").unwrap();
    assert!(done.out().contains("3000 ada.osei@example.com"), "{}", gateway.explain(&done));
    assert!(done.err().contains("there is no parameter $1"), "{}", gateway.explain(&done));
    assert!(done.err().contains("A card number has no place in a question."), "{}", gateway.explain(&done));
    let site = gateway.stop();
    let run = json(&site, &["runs", "--json"], "")["runs"][0]["run"].as_str().unwrap().to_owned();
    let exposed = json(&site, &["exposed", &run, "--json"], "");
    assert_eq!(exposed["answer"], "exposed", "{exposed}");
    assert_eq!(exposed["unmasked"], 15_000, "{exposed}");
    let by = exposed["exposures"].as_array().unwrap().iter().find(|e| e["what"] == "revealed").unwrap();
    assert_eq!(by["by"], "grant:seer-sees");
    assert_eq!(exposed_value(&site, "ada.osei@example.com")["answer"], "yes");
    assert_eq!(exposed_value(&site, "899-12-4455")["answer"], "sent");
    let nowhere = exposed_value(&site, "536-22-8391");
    assert_eq!(nowhere["answer"], "no", "{nowhere:#}");
}

#[test]
fn a_bind_of_many_values_is_carried_out_and_recorded() {
    let gateway = own("binds");
    let lease = gateway.lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        for count in [300_usize, 20_000] {
            let places: Vec<String> = (1..=count).map(|n| format!("(${n})")).collect();
            let text = format!("INSERT INTO pad (t) VALUES {}", places.join(","));
            let values: Vec<String> = (0..count).map(|n| format!("value {n}")).collect();
            let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
                values.iter().map(|v| v as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
            assert_eq!(client.execute(&text, &params).await.unwrap(), count as u64);
        }
    });
    drop(lease);
    let site = gateway.stop();
    let run = json(&site, &["runs", "--json"], "")["runs"][0]["run"].as_str().unwrap().to_owned();
    let shown = json(&site, &["show", &run, "--json"], "").to_string();
    assert!(shown.contains("\"params_more\":44") && shown.contains("\"params_more\":19744"), "{shown}");
    assert!(site.ask(&["verify"], "").unwrap().status.success());
}

#[test]
fn a_new_policy_holds_for_what_is_already_prepared() {
    let gateway = own("reloads");
    let lease = gateway.lease("tester").unwrap();
    block_on(async {
        let client = connect(&lease).await;
        let statement = client.prepare("SELECT count(*) FROM orders").await.unwrap();
        assert_eq!(client.query_one(&statement, &[]).await.unwrap().get::<_, i64>(0), 6);
        let closed = r#"@id("closed") forbid (principal, action == Action::"read", resource);"#;
        let policy = gateway.site().dir().join("policy/rules.cedar");
        std::fs::write(&policy, rules("reloads", closed)).unwrap();
        gateway.signal("HUP");
        let refused = async {
            loop {
                match client.query_one(&statement, &[]).await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return error,
                }
            }
        };
        let error =
            tokio::time::timeout(Duration::from_secs(20), refused).await.expect("the old policy holds");
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error}");
    });
}
