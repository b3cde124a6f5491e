//! The main job, seen working: a real PostgreSQL, a model that follows a script and a server of MCP, the gateway before all, and an agent
//! that does what agents do. Then the answers, and the proof.

use crate::home::{Home, given_programs};
use crate::setup::{self, Wanted};
use crate::step::{Stop, follow};
use interop::drivers::Drivers;
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{Scratch, free_port, is_open};
use interop::postgres::Postgres;
use interop::process::{Daemon, Finished, finish, readable};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

const BUILD_SECONDS_MAX: Duration = Duration::from_secs(3600);
const AGENT_SECONDS_MAX: Duration = Duration::from_secs(180);
const ANSWER_SECONDS_MAX: Duration = Duration::from_secs(120);

/// What only the gateway knows: the agent and the reports must never say it.
const UPSTREAM_PASSWORD: &str = "upstream-password-of-the-demo";
const SERVICE_KEY: &str = "service-key-of-the-demo";
/// A customer's, in the database and nowhere else.
const ONE_SSN: &str = "402-81-1957";

/// What each report must say of the run, else the demo has not shown what it is there to show.
const CLAIMS: &[(&str, &[&str])] = &[
    ("who", &["ada started agent support", "granted"]),
    (
        "show",
        &[
            "1 orphan",
            "1 decision told by a tool's result",
            "plan #",
            "because of decision #",
            "granted by dana",
            "masked (rewrite)",
            "rules: no-define",
            "rules: no-opaque",
            "rules: mail-to-known",
            "no decision explains it (orphan)",
        ],
    ),
    ("touched", &["crm/crm/public/orders", "1 committed, 1 refused"]),
    ("exposed", &["pii.ssn", "pii.card"]),
];

/// With `stay`, the gateway waits for Enter before the proof, so that somebody can look at its pages and ask on.
pub fn run(stay: bool) -> Result<(), Stop> {
    let home = setup::ready(Wanted::Demo)?;
    build(&home)?;
    let stage = Stage::set(&home)?;
    let run = stage.act()?;
    stage.answers(&run)?;
    stage.again(&run)?;
    if stay {
        stage.stay(&run)?;
    }
    stage.proof(&home, &run)?;
    println!("{NEXT}");
    Ok(())
}

const NEXT: &str = "
=== What to look at next
  demo/agent.py        the agent: it knows a DATABASE_URL, an OPENAI_BASE_URL, a MAIL_BASE_URL and nothing else
  demo/policy.cedar    the rules that decided
  cargo xtask demo --stay   the same, and the gateway waits before it stops: its pages, and tacho by your own hand
  README.md            how to put the gateway before your own database, and the table of promises
  cargo xtask test     the same against PostgreSQL's real clients, with crashes, tampering and leaks";

fn build(home: &Home) -> Result<(), Stop> {
    if let Some(folder) = given_programs() {
        println!("=== Using tacho and tacho-verify of {}", folder.display());
        return Ok(());
    }
    println!(
        "=== Building tacho and tacho-verify into {} (the first time takes minutes)",
        home.target.display()
    );
    let mut cargo = home.cargo();
    cargo.args(["build", "--locked", "--workspace", "--bins", "--example", "model"]);
    match follow(&mut cargo, BUILD_SECONDS_MAX, |_| ()) {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Stop::Could("the build failed; what cargo said is above".to_owned())),
        Err(text) => Err(Stop::Could(text)),
    }
}

/// Everything that runs. Dropped, it stops and is removed.
struct Stage {
    gateway: Gateway,
    _behind: [Behind; 2],
    _upstream: Postgres,
    drivers: Drivers,
    /// The approver's token.
    token: String,
    verifier: std::path::PathBuf,
}

impl Stage {
    fn set(home: &Home) -> Result<Stage, Stop> {
        println!(
            "\n=== A real PostgreSQL with customers and orders, a model that follows a script, a server of MCP, and tacho before all"
        );
        let upstream = Postgres::start()?;
        upstream.admin(
            "postgres",
            &format!("CREATE ROLE crm_app LOGIN PASSWORD '{UPSTREAM_PASSWORD}'; CREATE DATABASE crm;"),
        )?;
        upstream.admin("crm", &source(home, "demo/crm.sql")?)?;
        upstream.admin(
            "crm",
            "GRANT SELECT ON customers TO crm_app; GRANT SELECT, INSERT, UPDATE ON orders TO crm_app;",
        )?;
        let script = home.source.join("demo/model.json");
        let mut program = Command::new(home.programs().join("examples/model"));
        program.arg("turns");
        let model = Behind::start(program, |_| script)?;
        let mut program = Command::new(home.venv().join("bin/python"));
        program.arg(home.source.join("demo/mail.py"));
        let mail = Behind::start(program, |scratch| scratch.join("sent"))?;
        let plan = Plan {
            database: "crm".to_owned(),
            role: "crm_app".to_owned(),
            password: UPSTREAM_PASSWORD.to_owned(),
            policy: source(home, "demo/policy.cedar")?,
            masks: masks(),
            durability: "sync".to_owned(),
            gateway_lines: String::new(),
            resource_lines: "reel = \"full\"".to_owned(),
            tables: model.table("model", "llm", "")?
                + &mail.table("mail", "mcp", "open_arguments = [\"to\"]\n")?,
        };
        let site = Site::new_with(&plan, &upstream, &home.programs().join("tacho"))?;
        let token = add_operator(&site, &["dana", "--role", "approver", "--group", "support-leads"])?;
        println!("\n$ CRM_PASSWORD=... tacho check\n{}", site.check()?.out());
        let gateway = site.up()?;
        let drivers = Drivers::stage_from(&home.venv(), None)?;
        let agent = source(home, "demo/agent.py")?;
        drivers.file("agent.py", &agent).map_err(|why| Stop::Could(why.to_string()))?;
        Ok(Stage {
            gateway,
            _behind: [model, mail],
            _upstream: upstream,
            drivers,
            token,
            verifier: home.programs().join("tacho-verify"),
        })
    }

    /// The agent runs; a person answers what it asks. Returns the run's id.
    fn act(&self) -> Result<String, Stop> {
        println!("\n=== The agent: $ tacho run --agent support --task \"refund order 3\" -- agent.py");
        let mut agent = self.gateway.site().tacho();
        agent.args(["run", "--agent", "support", "--task", "refund order 3", "--"]);
        agent.arg(self.drivers.python()).arg(self.drivers.dir().join("agent.py"));
        let mut told = Vec::new();
        let status = thread::scope(|scope| {
            let running =
                scope.spawn(|| follow(&mut agent, AGENT_SECONDS_MAX, |line| told.push(line.to_owned())));
            while !running.is_finished() {
                self.answer_what_waits();
                thread::sleep(Duration::from_millis(200));
            }
            running.join().unwrap_or_else(|_| Err("the agent's thread died".to_owned()))
        });
        match status {
            Ok(status) if status.success() => (),
            Ok(status) => {
                return Err(Stop::Could(format!("the agent ended with {status}\n{}", self.gateway.log())));
            }
            Err(text) => return Err(Stop::Could(text)),
        }
        says_no_secret("the agent", &told.join("\n"))?;
        let runs = self.gateway.site().ask(&["runs", "--json"], "")?.out();
        field(&runs, "run")
            .ok_or_else(|| Stop::Could(format!("no run in what `tacho runs --json` says: {runs}")))
    }

    /// Dana, a support lead, at another terminal.
    fn answer_what_waits(&self) {
        let as_dana = |words: &[&str]| {
            let mut tacho = self.gateway.site().tacho();
            finish(tacho.args(words).env("TACHO_OPERATOR_TOKEN", &self.token), b"", ANSWER_SECONDS_MAX)
        };
        // Until something waits there is nothing to say; what goes wrong shows as an approval that expires.
        let Ok(waiting) = as_dana(&["approvals", "--json"]) else { return };
        let Some(ask) = field(&waiting.out(), "ask") else { return };
        if let Ok(seen) = as_dana(&["approvals"]) {
            say("dana", "tacho approvals", &seen);
        }
        if let Ok(approved) = as_dana(&["approve", &ask]) {
            say("dana", &format!("tacho approve {}", short(&ask)), &approved);
        }
    }

    /// The three questions, and whether one value ever reached an agent.
    fn answers(&self, run: &str) -> Result<(), Stop> {
        println!(
            "\n=== Afterwards: who initiated it, which decision caused what, what was touched, was anything exposed?"
        );
        let site = self.gateway.site();
        for (verb, claims) in CLAIMS {
            let said = show(site, &[verb, run])?;
            says_no_secret(verb, &said)?;
            if let Some(claim) = claims.iter().find(|claim| !said.contains(**claim)) {
                return Err(Stop::Could(format!("`tacho {verb}` does not say {claim:?}")));
            }
        }
        println!("\n$ echo {ONE_SSN} | tacho exposed --value - --auditor-key ...");
        let key = site.auditor_key();
        let mut tacho = site.tacho();
        tacho.args(["exposed", "--value", "-", "--auditor-key"]).arg(&key);
        let said = finish(&mut tacho, ONE_SSN.as_bytes(), ANSWER_SECONDS_MAX)?.out();
        print!("{said}");
        // A filter holds one value in some hundred by chance, and says so.
        match said.starts_with("No: this value reached no agent") || said.starts_with("MAYBE: a filter") {
            true => Ok(()),
            false => Err(Stop::Could("one value did reach the agent, or that could not be told".to_owned())),
        }
    }

    /// The agent once more, answered out of the record; then with another task.
    fn again(&self, run: &str) -> Result<(), Stop> {
        println!("\n=== Once more: the unchanged agent, answered out of the record; no upstream is reached");
        let (python, agent) = (self.drivers.python(), self.drivers.dir().join("agent.py"));
        for (task, code) in [(None, 0), (Some("Refund order 4 and write to nobody."), 1)] {
            let mut tacho = self.gateway.site().tacho();
            tacho.args(["replay", run, "--"]).arg(&python).arg(&agent).args(task);
            let done = finish(&mut tacho, b"", AGENT_SECONDS_MAX)?;
            // What the agent prints, on standard error, was seen above.
            let said = done.out();
            let words = task.map(|task| format!(" \"{task}\"")).unwrap_or_default();
            println!("\n$ tacho replay {} -- agent.py{words}\n{}", short(run), said.trim_end());
            if done.status.code() != Some(code) {
                return Err(Stop::Could(format!("tacho replay ended with {}\n{}", done.status, done.all())));
            }
        }
        Ok(())
    }

    /// Whoever sits before it looks at the pages, asks `tacho`, and runs what they like, until Enter.
    fn stay(&self, run: &str) -> Result<(), Stop> {
        let site = self.gateway.site();
        let token = add_operator(
            site,
            &["lena", "--role", "auditor", "--role", "approver", "--group", "support-leads"],
        )?;
        let by_hand = site.tacho();
        let tacho = format!(
            "{} --config {}",
            by_hand.get_program().display(),
            site.dir().join("tacho.toml").display()
        );
        println!(
            "\n=== The gateway is up until you press Enter\n\
             \x20 pages      http://127.0.0.1:{port} (operator token: {token})\n\
             \x20 report     http://127.0.0.1:{port}/runs/{run}/report\n\
             \x20 by hand    {tacho} run --agent support -- psql\n\
             \x20            {tacho} runs",
            port = site.console
        );
        let _read = std::io::stdin()
            .read_line(&mut String::new())
            .map_err(|why| Stop::Could(format!("standard input: {why}")))?;
        Ok(())
    }

    /// Two verifiers that share no code, on the record and on the record with one bit turned over.
    fn proof(self, home: &Home, run: &str) -> Result<(), Stop> {
        println!("\n=== The proof, offline: two verifiers that share no code");
        let site = self.gateway.stop();
        let _said = show(&site, &["export", run, "--as", "bundle", "--output", "run.bundle"])?;
        let data = site.ledger();
        let python = home.venv().join("bin/python");
        let verify = home.source.join("contrib/verify.py");
        let both = |path: &Path, good: bool| -> Result<(), Stop> {
            let mut rust = Command::new(&self.verifier);
            let mut second = Command::new(&python);
            for (name, command) in
                [("tacho-verify", rust.arg(path)), ("contrib/verify.py", second.arg(&verify).arg(path))]
            {
                let said = finish(command, b"", ANSWER_SECONDS_MAX)?;
                say("auditor", &format!("{name} {}", last_part(path)), &said);
                if said.status.success() != good {
                    return Err(Stop::Could(format!("{name} says otherwise than it should")));
                }
            }
            Ok(())
        };
        both(&data, true)?;
        both(&site.dir().join("run.bundle"), true)?;
        println!("\nNow somebody with root turns over one bit in a copy of the ledger:");
        let copy = site.dir().join("tampered");
        tamper(&data, &copy)?;
        both(&copy, false)
    }
}

/// A program of the demo behind the gateway, and the key that only the gateway knows. Dropped, it stops.
struct Behind {
    _daemon: Daemon,
    scratch: Scratch,
    port: u16,
}

impl Behind {
    /// `PROGRAM PORT FILE`.
    fn start(mut program: Command, file: impl FnOnce(&Path) -> std::path::PathBuf) -> Result<Behind, Stop> {
        let wrap = |why: std::io::Error| Stop::Could(format!("what is behind the gateway: {why}"));
        let (scratch, port) = (Scratch::new("behind").map_err(wrap)?, free_port().map_err(wrap)?);
        program.arg(port.to_string()).arg(file(scratch.path()));
        let mut daemon = Daemon::start(&mut program, &scratch.path().join("log"), "TERM")?;
        daemon.wait_ready(ANSWER_SECONDS_MAX, || is_open(port))?;
        Ok(Behind { _daemon: daemon, scratch, port })
    }

    /// Its place in the configuration.
    fn table(&self, name: &str, kind: &str, rest: &str) -> Result<String, Stop> {
        let wrap = |why: std::io::Error| Stop::Could(format!("{name}: {why}"));
        let key = self.scratch.path().join("key");
        std::fs::write(&key, SERVICE_KEY).map_err(wrap)?;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).map_err(wrap)?;
        let listen = free_port().map_err(wrap)?;
        Ok(format!(
            "\n[[resource]]\nname = \"{name}\"\nkind = \"{kind}\"\nlisten = \"127.0.0.1:{listen}\"\n\
             upstream = \"http://localhost:{}\"\ncredential = {{ file = \"{}\" }}\n{rest}",
            self.port,
            key.display()
        ))
    }
}

fn source(home: &Home, path: &str) -> Result<String, Stop> {
    std::fs::read_to_string(home.source.join(path)).map_err(|why| Stop::Could(format!("{path}: {why}")))
}

fn masks() -> Vec<(String, String, String)> {
    [("ssn", "pii.ssn", "row-token"), ("card", "pii.card", "partial:4"), ("email", "pii.email", "row-token")]
        .map(|(column, class, kind)| {
            (format!("public.customers.{column}"), class.to_owned(), kind.to_owned())
        })
        .to_vec()
}

/// `tacho operator add WORDS`; the token is printed once.
fn add_operator(site: &Site, words: &[&str]) -> Result<String, Stop> {
    let said = site.ask(&[&["operator", "add", "--json"], words].concat(), "")?;
    let token = field(&said.out(), "token");
    token.ok_or_else(|| Stop::Could(format!("`tacho operator add` gave no token: {}", said.all())))
}

/// Nothing of what the gateway guards stands in what `who` said.
fn says_no_secret(who: &str, said: &str) -> Result<(), Stop> {
    match [UPSTREAM_PASSWORD, SERVICE_KEY, ONE_SSN].into_iter().find(|secret| said.contains(secret)) {
        None => Ok(()),
        Some(secret) => Err(Stop::Could(format!("{who} said {secret:?}"))),
    }
}

/// Runs `tacho` and shows the command with what it says, which it gives back. "No" (1) and "cannot be proved" (3) are answers.
fn show(site: &Site, words: &[&str]) -> Result<String, Stop> {
    let said = site.ask(words, "")?;
    println!("\n$ tacho {}", words.iter().map(|word| short(word)).collect::<Vec<_>>().join(" "));
    print!("{}{}", said.out(), said.err());
    match said.status.code() {
        Some(0 | 1 | 3) => Ok(said.out()),
        _ => Err(Stop::Could(format!("tacho {} ended with {}", words.join(" "), said.status))),
    }
}

fn say(who: &str, command: &str, said: &Finished) {
    println!("\n   [{who}] $ {command}");
    // What is shown before the answer goes to standard error: the request that is about to be approved.
    for line in readable(&[said.stderr.as_slice(), said.stdout.as_slice()].concat()).lines() {
        println!("   [{who}] {line}");
    }
    println!();
}

/// A copy with one bit turned over in the middle of what was written of the first segment.
fn tamper(data: &Path, copy: &Path) -> Result<(), Stop> {
    let wrap = |why: std::io::Error| Stop::Could(format!("tampering: {why}"));
    let copied = finish(Command::new("cp").arg("-r").arg(data).arg(copy), b"", ANSWER_SECONDS_MAX)?;
    if !copied.status.success() {
        return Err(Stop::Could(copied.all()));
    }
    let segment = copy.join("segment/0000000000.seg");
    let mut bytes = std::fs::read(&segment).map_err(wrap)?;
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    if let Some(byte) = bytes.get_mut(written / 2) {
        *byte ^= 1;
    }
    std::fs::write(&segment, bytes).map_err(wrap)
}

/// The first string of that name in a JSON document; all that is needed of one here.
fn field(json: &str, name: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{name}\""))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(value.split('"').next()?.to_owned())
}

/// Ids are long; people type the beginning.
fn short(word: &str) -> &str {
    let id = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if id { &word[..8] } else { word }
}

fn last_part(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_of_a_json_document_is_found() {
        let json = r#"{"shape":"x/1","runs":[{"run": "ab12","agent":"support"}]}"#;
        assert_eq!(field(json, "run").as_deref(), Some("ab12"));
        assert_eq!(field(json, "ask"), None);
        assert_eq!(field(r#"{"approvals":[]}"#, "approvals"), None);
    }

    #[test]
    fn only_ids_are_shortened() {
        assert_eq!(short("0123456789abcdef0123456789abcdef"), "01234567");
        assert_eq!(short("exposed"), "exposed");
    }
}
