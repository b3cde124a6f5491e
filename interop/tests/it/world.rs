//! What the tests share: one PostgreSQL, one gateway, the drivers. Started by whichever test comes first.

use interop::drivers::Drivers;
use interop::gateway::{Gateway, Plan, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::postgres::{Postgres, SUPER_PASSWORD};
use interop::process::{Finished, finish};
use interop::programs::example;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What only the gateway may know.
pub const UPSTREAM_PASSWORD: &str = "upstream-password-7f3a9c";

/// The governed values of `demo/crm.sql`.
pub const SECRETS: &[&str] = &[
    "536-22-8391",
    "219-47-6630",
    "402-81-1957",
    "651-30-4478",
    "318-66-2049",
    "4539578763621486",
    "5425233430109903",
    "4916338506082832",
    "5555341244441115",
    "4024007103939509",
    "ada.osei@example.com",
    "b.keller@example.org",
    "chiara@example.net",
    "d.vance@example.com",
];

/// Agents: `tester` reads and writes; `asker` writes only with approval; `raw` may do what cannot be known;
/// `reader` only reads; answers to `limited`, `curious` and `wired` are decided.
pub const POLICY: &str = r#"
@id("connect-and-read")
permit (principal, action in [Action::"connect", Action::"read"], resource in Resource::"crm");
@id("tester-writes")
permit (principal in Agent::"tester", action == Action::"write", resource in Resource::"crm");
// What asyncpg's pools send when a connection goes back.
@id("pools-reset")
permit (principal in Agent::"tester", action == Action::"execute", resource == Resource::"crm/crm/pg_catalog/pg_advisory_unlock_all");
@id("asker-writes")
permit (principal in Agent::"asker", action == Action::"write", resource in Resource::"crm");
@id("asker-asks")
@needs("leads")
@message("Writes of this agent wait for a lead.")
forbid (principal in Agent::"asker", action == Action::"write", resource)
unless { context.approvals.contains("leads") };
@id("narrow-answers")
@message("More rows than this agent may have at once.")
forbid (principal in Agent::"limited", action == Action::"release", resource) when { context.rows > 100 };
@id("wide-answers-ask")
@needs("leads")
forbid (principal in Agent::"curious", action == Action::"release", resource)
when { context.rows > 100 } unless { context.approvals.contains("leads") };
@id("few-finds")
@message("Sensitive values where none are declared.")
forbid (principal in Agent::"wired", action == Action::"release", resource) when { context.tripwires > 3 };
@id("no-define")
@message("Agents do not change the structure of a database.")
forbid (principal, action == Action::"define", resource);
"#;

/// The shared upstream, with the demo's customers and orders, and a table to write to.
pub fn upstream() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = Postgres::start().unwrap();
        fill(&server, "crm");
        server
    })
}

/// `tacho` where an agent may start it.
pub fn agents_tacho() -> PathBuf {
    static COPIED: OnceLock<PathBuf> = OnceLock::new();
    let copy = || {
        let path = drivers().file("tacho", "").unwrap();
        std::fs::copy(interop::programs::tacho().unwrap(), &path).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    COPIED.get_or_init(copy).clone()
}

/// Makes a database with the demo's data.
pub fn fill(server: &Postgres, database: &str) {
    let role = format!(
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'crm_app') THEN \
         CREATE ROLE crm_app LOGIN PASSWORD '{UPSTREAM_PASSWORD}'; END IF; END $$"
    );
    server.admin("postgres", &role).unwrap();
    server.admin("postgres", &format!("CREATE DATABASE {database}")).unwrap();
    let tables = std::fs::read_to_string(interop::programs::source("demo/crm.sql")).unwrap();
    server.admin(database, &tables).unwrap();
    let pad = "CREATE TABLE pad (id serial PRIMARY KEY, t text NOT NULL); \
               GRANT SELECT ON customers TO crm_app; GRANT SELECT, INSERT, UPDATE, DELETE ON orders, pad TO crm_app; \
               GRANT USAGE ON SEQUENCE pad_id_seq TO crm_app";
    server.admin(database, pad).unwrap();
    let mut pgbench = Command::new(server.installation.bin.join("pgbench"));
    pgbench.env("LD_LIBRARY_PATH", server.installation.bin.join("../lib")).env("PGHOST", "127.0.0.1");
    pgbench
        .env("PGPORT", server.port.to_string())
        .env("PGUSER", "postgres")
        .env("PGPASSWORD", SUPER_PASSWORD);
    let done = finish(pgbench.args(["-i", "-q", "-s", "1", database]), b"", CLIENT_SECONDS_MAX).unwrap();
    assert!(done.status.success(), "{}", done.all());
    let tables = "pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history";
    server.admin(database, &format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO crm_app")).unwrap();
}

/// The plan of the shared gateway, to be varied.
pub fn plan() -> Plan {
    let mask = |column: &str, class: &str, kind: &str| {
        (format!("public.customers.{column}"), class.to_owned(), kind.to_owned())
    };
    Plan {
        database: "crm".to_owned(),
        role: "crm_app".to_owned(),
        password: UPSTREAM_PASSWORD.to_owned(),
        policy: POLICY.to_owned(),
        masks: vec![
            mask("ssn", "pii.ssn", "row-token"),
            mask("card", "pii.card", "partial:4"),
            mask("email", "pii.email", "row-token"),
        ],
        durability: "sync".to_owned(),
        gateway_lines: "approval_timeout = \"20s\"".to_owned(),
        resource_lines: String::new(),
        tables: String::new(),
    }
}

/// The shared gateway.
pub fn gateway() -> &'static Gateway {
    static SHARED: OnceLock<Gateway> = OnceLock::new();
    SHARED.get_or_init(|| {
        // Tests of drivers, not of the disk: on a busy one a sync takes so long that the gateway refuses, rightly.
        let plan = Plan { durability: "os".to_owned(), ..plan() };
        Gateway::start(&plan, upstream()).unwrap()
    })
}

/// Python and Node with their drivers.
pub fn drivers() -> &'static Drivers {
    static SHARED: OnceLock<Drivers> = OnceLock::new();
    SHARED.get_or_init(|| Drivers::stage().unwrap())
}

/// What stands behind a gateway: `model`, which answers questions, or a script of Python's.
pub fn behind(name: &str) -> Command {
    let (mut command, first) = match name {
        "model" => (Command::new(example("model").unwrap()), "questions".into()),
        script => (Command::new(drivers().python()), client(script).into_os_string()),
    };
    command.arg(first);
    command
}

/// A file of `interop/clients`, where an agent can read it.
pub fn client(name: &str) -> PathBuf {
    let text =
        std::fs::read_to_string(interop::programs::source(&format!("interop/clients/{name}"))).unwrap();
    drivers().file(name, &text).unwrap()
}

/// Runs a shell script as an agent of the shared gateway.
pub fn sh(agent: &str, script: &str) -> Finished {
    let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(script)];
    gateway().run_to_end(agent, &words, "").unwrap()
}

/// Fails with everything that was said, if the command failed.
#[track_caller]
pub fn good(done: &Finished) {
    assert!(done.status.success(), "{}", gateway().explain(done));
}

/// The same, for a gateway of the test's own.
#[track_caller]
pub fn good_at(gateway: &Gateway, done: &Finished) {
    assert!(done.status.success(), "{}", gateway.explain(done));
}

/// No governed value is in what a client printed.
#[track_caller]
pub fn nothing_leaked(done: &Finished) {
    let said = format!("{}{}", done.out(), done.err());
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} reached the client:\n{said}");
    }
}

/// A gateway of the test's own, before a database of its own, with the plan as `change` leaves it.
pub fn own(database: &str, change: impl FnOnce(&mut Plan)) -> Gateway {
    let site = own_site(database, change);
    site.up().unwrap()
}

/// The place of one that does not run yet.
pub fn own_site(database: &str, change: impl FnOnce(&mut Plan)) -> Site {
    fill(upstream(), database);
    let mut plan = plan();
    plan.database = database.to_owned();
    change(&mut plan);
    Site::new(&plan, upstream()).unwrap()
}

/// A shell script as the agent `tester` of a gateway.
pub fn agent(gateway: &Gateway, script: &str) -> Finished {
    gateway.run_to_end("tester", &["/bin/sh", "-c", script].map(Path::new), "").unwrap()
}

/// The newest run of an agent.
pub fn run_of(site: &Site, agent: &str) -> String {
    let runs = json(site, &["runs", "--json"]);
    let all = runs["runs"].as_array().unwrap();
    let found = all.iter().filter(|run| run["agent"] == agent).max_by_key(|run| run["opened"].to_string());
    found.unwrap_or_else(|| panic!("no run of {agent} in {runs}"))["run"].as_str().unwrap().to_owned()
}

/// What a verb answers with `--json`.
#[track_caller]
pub fn json(site: &Site, words: &[&str]) -> Value {
    let said = site.ask(words, "").unwrap();
    serde_json::from_str(&said.out()).unwrap_or_else(|_| panic!("tacho {words:?}: {}", said.all()))
}

pub fn newest_run(site: &Site) -> String {
    json(site, &["runs", "--json"])["runs"][0]["run"].as_str().unwrap().to_owned()
}

/// A number that differs from run to run and can be given again (`INTEROP_SEED`).
pub fn seed() -> u64 {
    std::env::var("INTEROP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether the long sizes are wanted (`INTEROP_ALL`).
pub fn all() -> bool {
    std::env::var_os("INTEROP_ALL").is_some()
}

/// Looks again and again until there is something to see, at most half a minute.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not within 30 s: {what}");
}

/// Numbers from one seed: the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 17
    }

    /// From 0 to `n - 1`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }
}
