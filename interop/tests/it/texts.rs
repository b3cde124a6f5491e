//! A Query of several statements goes upstream as Parse, Bind and Execute of each, and must look like a Query all the
//! same: generated texts are sent directly and through the gateway, and everything that comes back is compared.

use crate::world::{UPSTREAM_PASSWORD, client, drivers, fill, plan, upstream};
use interop::gateway::Gateway;
use interop::limits::CLIENT_SECONDS_MAX;
use interop::process::finish;
use std::path::Path;
use std::process::Command;

/// Everything, for whoever asks: here only the protocol is of interest.
const POLICY: &str = r#"@id("all") permit (principal, action, resource);"#;

#[test]
fn texts_of_many_statements_look_as_they_do_directly() {
    // Each time the same texts, but with `--all`: what this finds is found by whoever looks for it.
    let all = std::env::var_os("INTEROP_ALL").is_some();
    let seed = std::env::var("INTEROP_SEED").ok().filter(|_| all);
    let seed = seed.and_then(|text| text.parse().ok()).unwrap_or(1_u64);
    let count = if all { "5000" } else { "400" };
    // Of the same name on two servers' worth of state: what one side makes must not be seen by the other.
    for database in ["texts_direct", "texts_through"] {
        fill(upstream(), database);
        upstream()
            .admin(database, "GRANT CREATE ON SCHEMA public TO crm_app; GRANT ALL ON pad TO crm_app")
            .unwrap();
    }
    let program = client("texts.py");
    let mut direct = Command::new(drivers().python());
    direct.arg(&program).args([&seed.to_string(), count]);
    direct.env("PGHOST", "127.0.0.1").env("PGPORT", upstream().port.to_string()).env("PGSSLMODE", "disable");
    direct.env("PGUSER", "crm_app").env("PGPASSWORD", UPSTREAM_PASSWORD).env("PGDATABASE", "texts_direct");
    let direct = finish(&mut direct, b"", CLIENT_SECONDS_MAX).unwrap();
    assert!(direct.status.success(), "{}", direct.all());

    let mut plan = plan();
    plan.database = "texts_through".to_owned();
    plan.policy = POLICY.to_owned();
    plan.durability = "os".to_owned();
    plan.masks.clear();
    let gateway = Gateway::start(&plan, upstream()).unwrap();
    let words = [drivers().python(), program, seed.to_string().into(), count.into()];
    let words: Vec<&Path> = words.iter().map(AsRef::as_ref).collect();
    let through = gateway.run_to_end("texter", &words, "").unwrap();
    let (directly, behind) = (direct.out(), through.out());
    // After one that differs the sessions differ too; several are shown, because the first is not always the simplest,
    // each with what came before it, which may have left a transaction open.
    let both: Vec<(&str, &str)> = directly.lines().zip(behind.lines()).collect();
    let other = (0..both.len()).filter(|n| both[*n].0 != both[*n].1).take(6);
    let other: Vec<String> = other
        .map(|n| {
            let before: Vec<&str> = both[n.saturating_sub(3)..n].iter().map(|(a, _)| *a).collect();
            let ((a, b), before) = (both[n], before.join("\n          "));
            format!("seed {seed}, text {n} of {count}\nbefore:   {before}\ndirectly: {a}\nthrough:  {b}")
        })
        .collect();
    assert!(other.is_empty(), "{}", other.join("\n"));
    assert!(through.status.success() && directly == behind, "{}", gateway.explain(&through));
    assert!(gateway.site().ask(&["verify"], "").unwrap().status.success());
}
