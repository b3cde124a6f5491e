//! The leak corpus: attacks that leak on a bare server, and queries that must go on working. It is
//! kept beside the source tree, not in it; without it the step is skipped, visibly.

use crate::home::Home;
use crate::step::{Ending, Stop, watch};
use interop::gateway::{Gateway, Plan};
use interop::postgres::{Postgres, SUPER_PASSWORD};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

const CORPUS_SECONDS_MAX: Duration = Duration::from_secs(900);
const DATABASE: &str = "leakcorpus";
/// Each of some 220 cases opens one session or two, and the runner's tap closes its sockets while a thread still reads from
/// them, so that a session whose last message lost that race stays open long after it.
const SESSIONS_MAX: u64 = 500;
/// How the runner shows that a case ended by an exception of its own, and not by what it was answered: it counts that as blocked,
/// and nothing is known of it.
const NOT_TRIED: &str = "Error: ";
/// The role that the corpus's own schema makes, with this password.
const ROLE: &str = "agent";

/// Everything is open but what is governed, so that an attack fails at the mask and not at the door.
const POLICY: &str = r#"
permit (principal, action in [Action::"connect", Action::"read", Action::"write", Action::"define", Action::"call"], resource);
"#;

/// What the corpus's README declares, and the stored copies of it.
const GOVERNED: &[(&str, &str, &str)] = &[
    ("app.customers.name", "pii.name", "row-token"),
    ("app.customers.email", "pii.email", "row-token"),
    ("app.customers.ssn", "pii.ssn", "row-token"),
    ("app.customers.card", "pii.card", "row-token"),
    ("app.customers.dob", "pii.dob", "null"),
    ("app.customers.salary", "pii.salary", "null"),
    ("app.customers.notes", "pii.notes", "null"),
    ("app.api_keys.secret", "secret.api_key", "row-token"),
    ("app.customers_audit.old_row", "pii.notes", "null"),
    ("app.mv_people.label", "pii.name", "redact"),
];

pub fn check(home: &Home) -> Ending {
    let corpus = match find(home) {
        Some(corpus) => corpus,
        None => {
            return Ending::Skipped(
                "no corpus beside the source tree (LEAKCORPUS=DIR names another place)".to_owned(),
            );
        }
    };
    match run(home, &corpus) {
        Ok(true) => Ending::Passed(1),
        Ok(false) => Ending::Failed(0, 1),
        Err(stop) => {
            println!("{stop:?}");
            Ending::Failed(0, 1)
        }
    }
}

pub fn find(home: &Home) -> Option<PathBuf> {
    let named = std::env::var_os("LEAKCORPUS").map(PathBuf::from);
    let beside = home.source.join("../shared/leakcorpus");
    named.or(Some(beside)).filter(|path| path.join("run.py").is_file())
}

/// Whether each case was tried, nothing leaked and nothing benign changed.
fn run(home: &Home, corpus: &Path) -> Result<bool, Stop> {
    let upstream =
        Postgres::start_with(&interop::postgres::debian()?, &[&format!("max_connections={SESSIONS_MAX}")])?;
    upstream.admin("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
    let schema =
        std::fs::read_to_string(corpus.join("schema_pg.sql")).map_err(|why| Stop::Could(why.to_string()))?;
    upstream.admin(DATABASE, &schema)?;
    let plan = Plan {
        database: DATABASE.to_owned(),
        role: ROLE.to_owned(),
        password: ROLE.to_owned(),
        policy: POLICY.to_owned(),
        masks: GOVERNED.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect(),
        durability: "os".to_owned(),
        gateway_lines: String::new(),
        resource_lines: format!("connections_per_run = {SESSIONS_MAX}\n"),
        tables: String::new(),
    };
    let site = interop::gateway::Site::new_with(&plan, &upstream, &home.programs().join("tacho"))?;
    let gateway: Gateway = site.up()?;
    let lease = gateway.lease("corpus")?;
    let direct = |user: &str, password: &str| {
        format!("postgresql://{user}:{password}@127.0.0.1:{}/{DATABASE}", upstream.port)
    };
    let mut runner = Command::new(home.venv().join("bin/python"));
    runner.arg(corpus.join("run.py")).arg("--dsn").arg(lease.variable("DATABASE_URL"));
    runner
        .arg("--baseline-dsn")
        .arg(direct(ROLE, ROLE))
        .arg("--admin-dsn")
        .arg(direct("postgres", SUPER_PASSWORD));
    runner.arg("-v");
    let mut said = Vec::new();
    let status = watch(&mut runner, CORPUS_SECONDS_MAX, |line| said.push(line.to_owned()));
    let not_tried = said.iter().filter(|line| line.contains(NOT_TRIED)).count();
    let held = status.as_ref().is_ok_and(ExitStatus::success) && not_tried == 0;
    let is_sum = |line: &str| ["attacks ", "benign ", "  leaked by"].iter().any(|sum| line.starts_with(sum));
    for line in said.iter().filter(|line| !held || is_sum(line)) {
        println!("{line}");
    }
    if not_tried > 0 {
        println!("{not_tried} cases ended by the runner's own exceptions: nothing is known of them");
    }
    if !held {
        println!("--- the gateway said\n{}", interop::process::tail(&gateway.log()));
    }
    status.map(|_| held).map_err(Stop::Could)
}
