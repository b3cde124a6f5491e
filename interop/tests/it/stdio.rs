//! Servers of MCP that their clients start, through `tacho mcp`: the SDK's own servers and clients, in both versions, with
//! nothing in their environment but what such clients hand on.

use crate::scan::files_below;
use crate::world::{POLICY, agents_tacho, client, drivers, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::free_port;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const SSN: &str = "536-22-8391";
const EMAIL: &str = "ada.osei@example.com";

/// Agents: `sampler` lends its model to servers.
const RULES: &str = r#"
@id("local-read")
permit (principal, action in [Action::"connect", Action::"read"], resource in Resource::"local");
@id("local-call")
permit (principal, action == Action::"call", resource) when {
  resource in Resource::"local/tools/find" || resource in Resource::"local/tools/ask" ||
  resource in Resource::"local/tools/slowly" || resource in Resource::"local/tools/noise" ||
  resource in Resource::"local/tools/big" || resource in Resource::"local/tools/die" ||
  resource in Resource::"local/tools/environment" || resource in Resource::"local/tools/sleep" };
@id("sleep-asks")
@needs("leads")
forbid (principal in Agent::"patient", action == Action::"call", resource in Resource::"local/tools/sleep")
unless { context.approvals.contains("leads") };
@id("sampler-lends")
permit (principal in Agent::"sampler", action in [Action::"call", Action::"opaque"], resource in Resource::"local/client");
@id("node-servers")
permit (principal, action in [Action::"connect", Action::"read"], resource)
when { resource in Resource::"everything" || resource in Resource::"filesystem" || resource in Resource::"postgres" };
@id("postgres-queries")
permit (principal, action == Action::"call", resource == Resource::"postgres/tools/query");
@id("everything-call")
permit (principal, action == Action::"call", resource)
when { resource in Resource::"everything/tools/echo" || resource in Resource::"everything/tools/get-sum" };
@id("filesystem-reads")
permit (principal, action == Action::"call", resource in Resource::"filesystem/tools/read_text_file/tmp");
@id("sampler-hears")
permit (principal in Agent::"sampler", action == Action::"opaque", resource in Resource::"local");
"#;

struct Scene {
    gateway: Gateway,
    tacho: PathBuf,
    port: u16,
}

impl Scene {
    fn start() -> Scene {
        let port = free_port().unwrap();
        let tables = format!(
            "\n[[resource]]\nname = \"local\"\nkind = \"mcp\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"stdio:\"\n\
             shims = [\"local-server\"]\n\
             \n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n{}{}{}",
            nodes("everything", ""),
            nodes("postgres", ""),
            nodes("filesystem", "tools = [\"read_text_file/{path...}\", \"write_file/{path...}\"]\n")
        );
        let plan = Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, tacho: agents_tacho(), port }
    }

    fn site(&self) -> &Site {
        self.gateway.site()
    }

    fn run(&self, agent: &str, jailed: bool, script: &str) -> Finished {
        let mut run = self.site().tacho();
        run.arg("run").args(jailed.then_some("--jail"));
        run.args(["--agent", agent, "--", "/bin/sh", "-c", script]);
        finish(&mut run, b"", CLIENT_SECONDS_MAX).unwrap()
    }

    /// Steps of an SDK's client that starts `tacho mcp` with a server behind it.
    fn steps(&self, agent: &str, era: &str, jailed: bool, server: &Server, steps: &[&str]) -> Vec<Value> {
        let done = self.run(agent, jailed, &server.script(era, &self.tacho, steps));
        let said: Vec<Value> =
            done.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(said.len(), steps.len(), "{}", self.gateway.explain(&done));
        said
    }

    fn run_of(&self, agent: &str) -> String {
        run_of(self.site(), agent)
    }

    fn text(&self, words: &[&str]) -> String {
        self.site().ask(words, "").unwrap().out()
    }
}

/// The table of a server of Node's, which stands in PATH.
fn nodes(name: &str, rest: &str) -> String {
    let port = free_port().unwrap();
    format!(
        "\n[[resource]]\nname = \"{name}\"\nkind = \"mcp\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"stdio:\"\n\
         shims = [\"mcp-server-{name}\"]\n{rest}"
    )
}

fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}

/// A server to be started, and where it says what reached it.
struct Server {
    command: Vec<String>,
    log: PathBuf,
}

impl Server {
    fn python(era: &str) -> Server {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log =
            drivers().file(&format!("stdio-seen-{}", NEXT.fetch_add(1, Ordering::Relaxed)), "").unwrap();
        // The agent writes it, who is somebody else.
        std::fs::set_permissions(&log, PermissionsExt::from_mode(0o666)).unwrap();
        let words = [drivers().python(), client("mcp_service.py")];
        let mut command: Vec<String> = words.iter().map(|path| path.display().to_string()).collect();
        command.extend([era.to_owned(), "stdio".to_owned(), log.display().to_string()]);
        Server { command, log }
    }

    fn words(&self, tacho: &Path) -> Vec<String> {
        let tacho = tacho.display().to_string();
        let tacho = [tacho.as_str(), "mcp", "local", "--"].map(str::to_owned);
        tacho.into_iter().chain(self.command.clone()).collect()
    }

    fn script(&self, era: &str, tacho: &Path, steps: &[&str]) -> String {
        let quoted: String = steps.iter().map(|step| format!(" '{step}'")).collect();
        let words = serde_json::json!(self.words(tacho));
        let (python, program) = (drivers().python(), client("mcp_client.py"));
        format!("STDIO='{words}' {} {} {era} local{quoted}", python.display(), program.display())
    }

    fn seen(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

fn names(said: &Value) -> Vec<&str> {
    let tools = said["tools"].as_object().unwrap_or_else(|| panic!("{said}"));
    let mut names: Vec<&str> = tools.keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

fn content(said: &Value) -> &str {
    said["content"][0].as_str().unwrap_or_else(|| panic!("{said}"))
}

const LISTED: &[&str] = &["ask", "big", "die", "environment", "find", "noise", "sleep", "slowly"];

/// A list without what is not permitted, a masked result, a refusal that a model can read; and the record of all of it.
fn speaks(era: &str, jailed: bool) {
    let agent = format!("local-{era}-{jailed}");
    let server = Server::python(era);
    let steps =
        ["list", "call find {\"id\": 3}", "call burn {\"what\": \"all\"}", "call slowly {\"steps\": 3}"];
    let said = scene().steps(&agent, era, jailed, &server, &steps);
    assert_eq!(names(&said[0]), LISTED, "{era}");
    let found: Value = serde_json::from_str(content(&said[1])).unwrap();
    assert_eq!(found["ssn"], "*******8391", "{era}: {found}");
    assert_eq!((&found["email"], &found["id"]), (&"[pii.email]".into(), &3.into()), "{era}: {found}");
    assert_eq!(said[2]["failed"], true, "{era}: {}", said[2]);
    assert!(content(&said[2]).contains("tools/burn`. (record: "), "{era}: {}", said[2]);
    assert_eq!(said[3]["progress"], serde_json::json!([1.0, 2.0, 3.0]), "{era}: in order: {}", said[3]);
    assert_eq!(server.seen(), "find 3\n", "{era}: what was refused did not reach it");
    let run = scene().run_of(&agent);
    let touched = scene().text(&["touched", &run]);
    let row = |text: &str| {
        touched.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").contains(text))
    };
    assert!(row("local/tools/find call 1 1 committed"), "{era}: {touched}");
    assert!(row("local/tools/burn call 1 1 refused"), "{era}: {touched}");
    let shown = scene().text(&["show", &run]) + &scene().text(&["replay", &run]);
    assert!(shown.contains("tools/call find |"), "{era}: {shown}");
    assert!(!shown.contains("tacho-process"), "{era}: {shown}");
    assert!(!shown.contains(SSN) && !shown.contains(EMAIL), "{era}: {shown}");
    let verified = scene().site().ask(&["verify"], "").unwrap();
    assert!(verified.status.success(), "{}", verified.all());
}

#[test]
fn the_revision_without_sessions_is_spoken() {
    speaks("new", false);
}

#[test]
fn the_revisions_with_sessions_are_spoken() {
    speaks("old", false);
}

#[test]
fn carried_out_again_the_record_answers_and_no_server_is_started() {
    for era in ["new", "old"] {
        let (agent, server) = (format!("local-again-{era}"), Server::python(era));
        let started = server.log.with_extension("started");
        std::fs::write(&started, "").unwrap();
        std::fs::set_permissions(&started, PermissionsExt::from_mode(0o666)).unwrap();
        // A server that leaves a trace where it begins.
        let start = format!("echo started >> {}; exec {}", started.display(), server.command.join(" "));
        let noted =
            Server { command: ["/bin/sh", "-c", &start].map(str::to_owned).into(), log: server.log.clone() };
        let script =
            noted.script(era, &scene().tacho, &["call find {\"id\": 3}", "call burn {\"what\": \"all\"}"]);
        let done = scene().run(&agent, false, &script);
        assert!(done.status.success(), "{}", scene().gateway.explain(&done));
        let seen = || (std::fs::read_to_string(&started).unwrap(), server.seen());
        assert_eq!(seen(), ("started\n".to_owned(), "find 3\n".to_owned()), "{}", done.all());
        let run = scene().run_of(&agent);
        let again =
            scene().site().ask(&["replay", &run, "--json", "--", "/bin/sh", "-c", &script], "").unwrap();
        let found: Value = serde_json::from_str(&again.out()).unwrap_or_else(|_| panic!("{}", again.all()));
        assert!(
            found["divergence"].is_null() && found["asked"] == found["recorded"],
            "{era}: {found:#}\n{}",
            scene().text(&["show", &run])
        );
        assert_eq!(found["status"], found["status_then"], "{era}: {found:#}");
        assert_eq!(seen(), ("started\n".to_owned(), "find 3\n".to_owned()), "{era}: nothing happens again");
    }
}

#[test]
fn in_a_jail_it_is_spoken_too() {
    speaks("new", true);
    speaks("old", true);
}

#[test]
fn a_server_borrows_no_model_without_a_permission() {
    let server = Server::python("old");
    let said = scene().steps("lender", "old", false, &server, &["call ask"]);
    assert!(!said[0].to_string().contains("the key is 1234"), "{}", said[0]);
    assert!(said[0].to_string().contains("failed"), "the server heard no: {}", said[0]);
    let shown = scene().text(&["show", &scene().run_of("lender")]);
    assert!(shown.contains("refused-want") && shown.contains("sampling"), "{shown}");
    let said = scene().steps("sampler", "old", false, &server, &["call ask", "call find {\"id\": 8}"]);
    assert!(said[0].to_string().contains("the key is 1234"), "{}", said[0]);
}

#[test]
fn what_a_server_prints_beside_its_messages_goes_nowhere() {
    for era in ["new", "old"] {
        let server = Server::python(era);
        let script = server.script(era, &scene().tacho, &["call noise", "call find {\"id\": 4}"]);
        let done = scene().run("noisy", false, &script);
        let said: Vec<Value> =
            done.out().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(said.len() == 2 && said[0]["failed"] == false, "{}", scene().gateway.explain(&done));
        assert!(content(&said[1]).contains("*******8391"), "{}", said[1]);
        let told = done.all().matches("of the server's output is left out").count();
        // The new SDK keeps what its tools print from the output by itself.
        assert_eq!(told, if era == "old" { 2 } else { 0 }, "{era}: {}", done.all());
    }
}

#[test]
fn an_answer_above_the_limit_fails_and_the_next_does_not() {
    let server = Server::python("old");
    let said =
        scene().steps("big", "old", false, &server, &["call big {\"mib\": 9}", "call find {\"id\": 6}"]);
    assert!(said[0].to_string().contains("none above 8 MiB"), "{}", said[0]);
    assert!(content(&said[1]).contains("*******8391"), "{}", said[1]);
}

/// Lines to `tacho mcp` as it is; what it says, and how it ends.
fn talk(agent: &str, server: &Server, lines: &[&str]) -> (Vec<Value>, Finished) {
    let words: Vec<String> = server.words(&scene().tacho).iter().map(|word| format!("'{word}'")).collect();
    // The last word is said when the answer to the one before is there.
    let input = drivers().file(&format!("stdio-{agent}"), &(lines.join("\n") + "\n")).unwrap();
    let script =
        format!("{{ cat {}; sleep 3; }} | {}; echo \"status $?\" >&2", input.display(), words.join(" "));
    let done = scene().run(agent, false, &script);
    let said = done.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (said, done)
}

const BEGIN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}"#;
const BEGUN: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

fn answer<'a>(said: &'a [Value], id: &Value) -> &'a Value {
    said.iter().find(|line| line["id"] == *id).unwrap_or_else(|| panic!("no answer to {id} in {said:?}"))
}

#[test]
fn a_server_that_dies_is_an_error_and_its_status_is_passed_on() {
    let server = Server::python("old");
    let call = r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"die","arguments":{"status":7}}}"#;
    let (said, done) = talk("mourner", &server, &[BEGIN, BEGUN, call]);
    assert!(answer(&said, &"x".into())["error"]["message"].is_string(), "{said:?}");
    assert!(done.all().contains("status 7"), "{}", scene().gateway.explain(&done));
    let touched = scene().text(&["touched", &scene().run_of("mourner")]);
    assert!(touched.contains("1 INDETERMINATE"), "what it did before is not known: {touched}");
}

#[test]
fn what_is_no_message_is_told_in_the_protocols_own_words() {
    let server = Server::python("old");
    let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"{}\"}}", "x".repeat(8 << 20));
    let twice = r#"{"jsonrpc":"2.0","id":9,"method":"ping","method":"tools/list"}"#;
    let (said, done) = talk(
        "stammerer",
        &server,
        &["{no json", "[]", &long, BEGIN, BEGUN, twice, r#"{"jsonrpc":"2.0","id":3,"method":"ping"}"#],
    );
    let nobodys: Vec<i64> =
        said.iter().filter(|l| l["id"].is_null()).filter_map(|l| l["error"]["code"].as_i64()).collect();
    assert_eq!(nobodys, [-32700, -32600, -32600], "{said:?}");
    assert!(answer(&said, &9.into())["error"]["message"].to_string().contains("twice"), "{said:?}");
    assert!(answer(&said, &3.into())["result"].is_object(), "{said:?}");
    assert!(done.all().contains("status 0"), "it ended when its input did: {}", done.all());
}

#[test]
fn a_request_that_is_cancelled_has_no_answer_and_holds_nobody_up() {
    let call = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"sleep","arguments":{"seconds":600}}}"#;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}"#;
    let ping = r#"{"jsonrpc":"2.0","id":6,"method":"ping"}"#;
    // Of `patient` a person is asked: it is cancelled before it reaches the server.
    for (agent, seen) in [("hasty", "sleep\n"), ("patient", "")] {
        let server = Server::python("old");
        let (said, done) = talk(agent, &server, &[BEGIN, BEGUN, call, cancel, ping]);
        assert!(answer(&said, &6.into())["result"].is_object(), "{agent}: {said:?}");
        assert!(said.iter().all(|line| line["id"] != 5), "{agent}: {said:?}");
        assert!(done.all().contains("status 0"), "{agent}: {}", scene().gateway.explain(&done));
        // One that is cancelled at once may not have begun.
        assert!(seen.starts_with(&*server.seen()), "{agent}: {said:?}");
    }
    let waiting = scene().text(&["approvals", "--json"]);
    assert!(!waiting.contains("sleep"), "nobody is asked any more: {waiting}");
}

#[test]
fn the_record_says_what_was_started() {
    let mut server = Server::python("new");
    server.command.push("--owner=stdio.command@example.com".to_owned());
    let said = scene().steps("starter", "new", false, &server, &["call find {\"id\": 2}"]);
    assert_eq!(said[0]["failed"], false, "{}", said[0]);
    let files = files_below(&scene().site().ledger());
    let all: Vec<u8> = files.iter().flat_map(|file| std::fs::read(file).unwrap_or_default()).collect();
    let holds = |text: &str| all.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds(&format!("{} --owner=[pii.email]", server.log.display())), "masked, and recorded");
    assert!(!holds("stdio.command@example.com"), "and not as it was");
    let shown = json(scene().site(), &["show", &scene().run_of("starter"), "--json"]);
    let commands =
        shown["sessions"].as_array().unwrap().iter().filter_map(|session| session["command"].as_str());
    assert!(
        commands.clone().count() > 0 && commands.clone().all(|said| said.contains("[pii.email]")),
        "{shown}"
    );
    assert_eq!(shown["unread"].as_array().map(Vec::len), Some(0), "{shown}");
}

#[test]
fn a_server_finds_no_more_in_its_environment_than_its_client_hands_on() {
    let server = Server::python("new");
    let said = scene().steps("bare", "new", false, &server, &["call environment"]);
    let names = content(&said[0]);
    assert!(names.contains("HOME") && names.contains("PATH"), "{names}");
    for secret in ["LOCAL_API_KEY", "LOCAL_URL", "TACHO_RUN_TOKEN", "PGPASSWORD", "DATABASE_URL"] {
        assert!(!names.contains(secret), "{secret} in {names}");
    }
}

#[test]
fn a_program_of_the_path_is_a_shim_for_the_server() {
    let server = Server::python("new");
    let words: Vec<String> = server.command.iter().map(|word| format!("'{word}'")).collect();
    let real = format!("#!/bin/sh\nexec {}\n", words.join(" "));
    let bin = drivers().dir().join("bin-of-shims");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("local-server"), real).unwrap();
    std::fs::set_permissions(bin.join("local-server"), PermissionsExt::from_mode(0o755)).unwrap();
    let (python, program) = (drivers().python(), client("mcp_client.py"));
    let script = format!(
        "STDIO='[\"local-server\"]' {} {} new local list 'call find {{\"id\": 5}}'; head -1 \"$(command -v local-server)\"",
        python.display(),
        program.display()
    );
    // The run is started by this `tacho`, whose file the agent must be able to enter.
    let mut run = std::process::Command::new(&scene().tacho);
    run.arg("--config").arg(scene().site().dir().join("tacho.toml")).current_dir(scene().site().dir());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    run.env("PATH", path).args(["run", "--agent", "shimmed", "--", "/bin/sh", "-c", &script]);
    let done = finish(&mut run, b"", CLIENT_SECONDS_MAX).unwrap();
    assert!(done.out().contains("*******8391"), "{}", scene().gateway.explain(&done));
    assert!(done.out().contains("#!/bin/sh"), "{}", done.all());
    assert_eq!(server.seen(), "find 5\n");
    let touched = scene().text(&["touched", &scene().run_of("shimmed")]);
    assert!(touched.contains("local/tools/find"), "{touched}");
}

/// A folder with Node's servers as programs.
fn node_programs() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let bin = drivers().dir().join("bin-of-node");
        std::fs::create_dir_all(&bin).unwrap();
        for name in ["everything", "filesystem", "postgres"] {
            let module = drivers()
                .dir()
                .join(format!("node_modules/@modelcontextprotocol/server-{name}/dist/index.js"));
            let file = bin.join(format!("mcp-server-{name}"));
            std::fs::write(&file, format!("#!/bin/sh\nexec node '{}' \"$@\"\n", module.display())).unwrap();
            std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        }
        bin
    })
}

/// A call of the inspector's command line, in a run whose PATH has shims for Node's servers.
fn inspect(agent: &str, jailed: bool, words: &str) -> Finished {
    let inspector = drivers().dir().join("node_modules/@modelcontextprotocol/inspector-cli/build/index.js");
    let script = format!("node '{}' {words}", inspector.display());
    let mut run = std::process::Command::new(&scene().tacho);
    run.arg("--config").arg(scene().site().dir().join("tacho.toml")).current_dir(scene().site().dir());
    let path = format!("{}:{}", node_programs().display(), std::env::var("PATH").unwrap());
    run.env("PATH", path).arg("run").args(jailed.then_some("--jail"));
    run.args(["--agent", agent, "--", "/bin/sh", "-c", &script]);
    finish(&mut run, b"", CLIENT_SECONDS_MAX).unwrap()
}

#[test]
fn nodes_servers_are_inspected_through_shims() {
    for jailed in [false, true] {
        let listed = inspect("inspector", jailed, "mcp-server-everything --method tools/list");
        assert!(listed.out().contains("\"echo\""), "{}", scene().gateway.explain(&listed));
        assert!(!listed.out().contains("get-env"), "{}", listed.out());
        let call = "mcp-server-everything --method tools/call --tool-name";
        let echoed = inspect("inspector", jailed, &format!("{call} get-sum --tool-arg a=17 b=25"));
        assert!(echoed.out().contains("42"), "{}", scene().gateway.explain(&echoed));
        let refused = inspect("inspector", jailed, &format!("{call} get-env"));
        assert!(refused.all().contains("tools/get-env`. (record: "), "{}", refused.all());
    }
    let files = drivers().dir().join("files");
    std::fs::create_dir_all(&files).unwrap();
    std::fs::write(files.join("a.txt"), format!("write to {EMAIL}")).unwrap();
    std::fs::set_permissions(files.join("a.txt"), PermissionsExt::from_mode(0o644)).unwrap();
    let call = format!("mcp-server-filesystem {} --method tools/call --tool-name", files.display());
    let path = files.join("a.txt").display().to_string();
    let read = inspect("reader-of-files", true, &format!("{call} read_text_file --tool-arg path={path}"));
    assert!(read.out().contains("write to [pii.email]"), "{}", scene().gateway.explain(&read));
    let refused =
        inspect("reader-of-files", true, &format!("{call} read_text_file --tool-arg path=/etc/passwd"));
    assert!(refused.all().contains("read_text_file/etc/passwd`. (record: "), "{}", refused.all());
    let refused =
        inspect("reader-of-files", true, &format!("{call} write_file --tool-arg path={path} content=x"));
    assert!(refused.all().contains("(record: "), "{}", refused.all());
    assert!(std::fs::read_to_string(files.join("a.txt")).unwrap().contains(EMAIL), "it was not written");
}

/// Both of its sides are behind the gateway: the tool, and the database that it asks.
#[test]
fn what_a_tool_asks_of_a_database_is_decided_and_masked_there() {
    let call = "mcp-server-postgres \"$DATABASE_URL\" --method tools/call --tool-name query --tool-arg";
    let query = |sql: &str| inspect("analyst", false, &format!("{call} \"sql={sql}\""));
    let read = query("SELECT id, ssn FROM customers WHERE id = 3");
    assert!(read.out().contains("ssn_3"), "{}", scene().gateway.explain(&read));
    let run = scene().run_of("analyst");
    let touched = scene().text(&["touched", &run]);
    for part in ["postgres/tools/query", "crm/crm/public/customers"] {
        assert!(touched.contains(part), "{part}: {touched}");
    }
    let refused = query("DROP TABLE customers");
    assert!(refused.all().contains("Agents do not change the structure"), "{}", refused.all());
}

/// A gateway of its own: what it remembers is changed.
#[test]
fn a_tool_that_changes_what_it_says_is_refused() {
    let scene = Scene::start();
    let server = Server::python("new");
    let before = scene.steps("watcher", "new", false, &server, &["list"]);
    assert!(names(&before[0]).contains(&"find"), "{}", before[0]);
    let rug = PathBuf::from(format!("{}.rug", server.log.display()));
    std::fs::write(&rug, "").unwrap();
    let steps = ["list", "call find {\"id\": 9}", "call slowly {\"steps\": 1}"];
    let said = scene.steps("watcher", "new", false, &server, &steps);
    assert!(!names(&said[0]).contains(&"find"), "{}", said[0]);
    assert!(said[1]["failed"] == true && content(&said[1]).contains("what it said first"), "{}", said[1]);
    assert_eq!(said[2]["failed"], false, "the others go on: {}", said[2]);
    assert!(!server.seen().contains("find 9"));
    let notes = scene.text(&["show", &scene.run_of("watcher")]);
    assert!(notes.contains("tool-changed") && notes.contains("find"), "{notes}");
}

/// One request of a run's own making on a connection of its own: status, and all that was answered.
fn post(key: &str, headers: &str) -> (String, String) {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut stream = TcpStream::connect(("127.0.0.1", scene().port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
         Content-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    (said.split(' ').nth(1).unwrap_or_default().to_owned(), said)
}

/// Lends a connection as `tacho mcp` does, and says what the gateway says to that.
fn lend(key: &str, headers: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", scene().port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: upgrade\r\n\
         Upgrade: tacho-stdio/1\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut said = vec![0; 4096];
    let read = stream.read(&mut said).unwrap();
    (stream, String::from_utf8(said[..read].to_vec()).unwrap())
}

#[test]
fn a_connection_that_is_lent_serves_its_own_run_and_process_alone() {
    let (own, foreign) = (scene().gateway.lease("own").unwrap(), scene().gateway.lease("foreign").unwrap());
    let (mine, others) = (own.variable("LOCAL_API_KEY"), foreign.variable("LOCAL_API_KEY"));
    let process = |digit: &str| format!("Tacho-Process: {}\r\n", digit.repeat(32));
    // `node`, in Base64.
    let command = "Tacho-Command: bm9kZQ==\r\n";
    for (key, headers, status) in [
        (mine, process("a"), " 400 "),
        (mine, command.to_owned(), " 400 "),
        ("run_1.guessed", process("a") + command, " 401 "),
    ] {
        assert!(lend(key, &headers).1.contains(status), "{headers}");
    }
    let (mut lent, said) = lend(mine, &(process("a") + command));
    assert!(said.starts_with("HTTP/1.1 101 "), "{said}");
    let (status, said) = post(mine, "");
    assert!(status == "400" && said.contains("tacho mcp -- COMMAND"), "{said}");
    for (key, headers) in [(others, process("a")), (mine, process("b"))] {
        let (status, said) = post(key, &headers);
        assert!(status == "502" || said.contains("cannot be reached"), "{said}");
    }
    let key = mine.to_owned();
    let asked = thread::spawn(move || post(&key, &process("a")));
    let mut heard = vec![0; 4096];
    let read = lent.read(&mut heard).unwrap();
    let heard = String::from_utf8(heard[..read].to_vec()).unwrap();
    assert!(heard.starts_with("POST /mcp HTTP/1.1\r\n"), "{heard}");
    let lower = heard.to_ascii_lowercase();
    assert!(!lower.contains("authorization") && !lower.contains("tacho-"), "{heard}");
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    lent.write_all(answer.as_bytes()).unwrap();
    let (status, said) = asked.join().unwrap();
    assert!(status == "200" && said.ends_with(body), "{said}");
}
