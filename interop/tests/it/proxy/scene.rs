//! A gateway whose proxy stands before services of every kind, with TLS and without.

use crate::world::{POLICY, behind, drivers, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::place::{Scratch, free_port, is_open};
use interop::process::{Daemon, Finished, finish};
use interop::tls::Authority;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

/// What `http_service.py` calls its secret.
pub const KEY: &str = "upstream-key-91c4be";
pub const SECRETS: &[&str] =
    &["536-22-8391", "219-47-6630", "ada.osei@example.com", "b.keller@example.org", KEY];

const RULES: &str = r#"
@id("proxied")
permit (principal, action in [Action::"connect", Action::"read", Action::"call"], resource);
@id("tester-echoes")
permit (principal in Agent::"tester", action == Action::"write", resource in Resource::"billing/echo");
@id("tester-puts")
permit (principal in Agent::"tester", action in [Action::"write", Action::"opaque"], resource in Resource::"bucket");
@id("putter-puts")
permit (principal in Agent::"putter", action == Action::"write", resource in Resource::"bucket");
@id("asker-deletes")
permit (principal in Agent::"asker", action == Action::"write", resource in Resource::"billing");
@id("deletes-ask")
@needs("leads")
forbid (principal in Agent::"asker", action == Action::"write", resource in Resource::"billing")
unless { context.approvals.contains("leads") };
@id("git-reads-texts")
permit (principal in Agent::"git", action == Action::"opaque", resource in Resource::"billing");
@id("no-slow")
@message("Nobody waits for the slow one.")
forbid (principal, action, resource in Resource::"billing/slow");
@id("outsider-stays-out")
forbid (principal in Agent::"outsider", action == Action::"connect", resource);
"#;

/// A service over TLS and one without, a model over TLS, and a gateway whose proxy stands before them.
pub struct Scene {
    pub gateway: Gateway,
    pub https: u16,
    pub plain: u16,
    pub proxy: u16,
    log: PathBuf,
    pub model_log: PathBuf,
    _services: Vec<Daemon>,
    _place: Scratch,
}

impl Scene {
    fn start() -> Scene {
        let place = Scratch::new("proxy").unwrap();
        let authority = Authority::new(place.path()).unwrap();
        let (cert, key) = authority.sign("good", "DNS:localhost,IP:127.0.0.1").unwrap();
        let (bad_cert, bad_key) = authority.self_signed("bad", "DNS:localhost,IP:127.0.0.1").unwrap();
        let [https, plain, model, bad, tools, legacy, signed, proxy] = [(); 8].map(|()| free_port().unwrap());
        let dir = drivers().dir();
        let (log, model_log) = (dir.join("proxy-seen"), dir.join("proxy-model-seen"));
        let start = |program: &str, port: u16, log: &Path, tls: Option<(&Path, &Path)>| {
            let mut command = behind(program);
            command.arg(port.to_string()).arg(log);
            if let Some((cert, key)) = tls {
                command.arg(cert).arg(key);
            }
            let said = dir.join(format!("proxy-service-{port}.log"));
            let mut service = Daemon::start(&mut command, &said, "TERM").unwrap();
            service.wait_ready(Duration::from_secs(60), || is_open(port)).unwrap();
            service
        };
        let services = vec![
            start("http_service.py", https, &log, Some((&cert, &key))),
            start("http_service.py", plain, &log, None),
            start("model", model, &model_log, Some((&cert, &key))),
            start("http_service.py", bad, &log, Some((&bad_cert, &bad_key))),
        ];
        let server = |era: &str, port: u16| {
            let mut command = behind("mcp_service.py");
            command.arg(era).arg(port.to_string()).arg(dir.join(format!("proxy-mcp-seen-{port}")));
            let said = dir.join(format!("proxy-mcp-{port}.log"));
            let mut service = Daemon::start(&mut command, &said, "TERM").unwrap();
            service.wait_ready(Duration::from_secs(90), || is_open(port)).unwrap();
            service
        };
        let services: Vec<Daemon> =
            services.into_iter().chain([server("new", tools), server("old", legacy)]).collect();
        let mut command = behind("signed_service.py");
        command.arg(signed.to_string());
        let mut service = Daemon::start(&mut command, &dir.join("proxy-signed.log"), "TERM").unwrap();
        service.wait_ready(Duration::from_secs(60), || is_open(signed)).unwrap();
        let services: Vec<Daemon> = services.into_iter().chain([service]).collect();
        let private = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let signing = private("proxy-signing-key", "AKIDTEST:signing-key-of-the-tests");
        let secret = private("proxy-key", &format!("{KEY}\n"));
        let ca = authority.certificate();
        let resource = |name: &str, kind: &str, url: String| {
            let ca =
                if url.starts_with("https") { format!("ca = \"{}\"\n", ca.display()) } else { String::new() };
            format!(
                "\n[[resource]]\nname = \"{name}\"\nkind = \"{kind}\"\nupstream = \"{url}\"\n{ca}credential = {{ file = \"{}\" }}\n",
                secret.display()
            )
        };
        let masks = "\n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n\
                     \n[[resource.mask]]\npath = \"$..email\"\nclass = \"pii.email\"\n";
        let tables = [
            resource("billing", "http", format!("https://localhost:{https}")),
            "routes = [\"/users/{id}\"]\n".to_owned(),
            masks.to_owned(),
            resource("coded", "http", format!("https://localhost:{https}/coded")),
            masks.to_owned(),
            resource("plain", "http", format!("http://localhost:{plain}")),
            masks.to_owned(),
            resource("openai", "llm", format!("https://localhost:{model}/v1")),
            resource("tools", "mcp", format!("http://localhost:{tools}/mcp")),
            resource("legacy", "mcp", format!("http://localhost:{legacy}")),
            format!(
                "\n[[resource]]\nname = \"bucket\"\nkind = \"http\"\nupstream = \"http://localhost:{signed}\"\n\
                 credential = {{ file = \"{}\" }}\ninject = \"sigv4\"\nregion = \"eu-test-1\"\nservice = \"s3\"\n",
                signing.display()
            ),
            resource("unproved", "http", format!("https://localhost:{bad}")),
        ];
        let base = plan();
        let plan = Plan {
            policy: format!("{POLICY}{RULES}"),
            tables: tables.concat(),
            gateway_lines: format!("{}\nproxy = \"127.0.0.1:{proxy}\"", base.gateway_lines),
            durability: "os".to_owned(),
            ..base
        };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, https, plain, proxy, log, model_log, _services: services, _place: place }
    }

    /// Runs a shell script as an agent. `$S` and `$P` are where the services are.
    pub fn run(&self, words: &[&str], agent: &str, script: &str) -> Finished {
        let script =
            format!("S=https://localhost:{}; P=http://localhost:{}; {script}", self.https, self.plain);
        let mut run = self.gateway.site().tacho();
        run.arg("run").args(words).args(["--agent", agent, "--", "/bin/sh", "-c", &script]);
        finish(&mut run, b"", Duration::from_secs(180)).unwrap()
    }

    pub fn sh(&self, agent: &str, script: &str) -> Finished {
        self.run(&[], agent, script)
    }

    pub fn python(&self, words: &[&str], agent: &str, name: &str, program: &str) -> Finished {
        let file = drivers().file(name, program).unwrap();
        let ports = format!("{} {} {}", self.https, self.plain, self.gateway.site().console);
        self.run(words, agent, &format!("{} {} {ports}", drivers().python().display(), file.display()))
    }

    /// What the services saw.
    pub fn seen(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn ask(&self, words: &[&str], token: Option<&str>) -> Finished {
        let mut command = self.gateway.site().tacho();
        if let Some(token) = token {
            command.env("TACHO_OPERATOR_TOKEN", token);
        }
        finish(command.args(words), b"", Duration::from_secs(30)).unwrap()
    }

    pub fn json(&self, words: &[&str]) -> Value {
        json(self.gateway.site(), words)
    }

    /// The newest run of an agent.
    pub fn run_of(&self, agent: &str) -> String {
        run_of(self.gateway.site(), agent)
    }

    /// The notes of the newest run of an agent, each as one line.
    pub fn notes(&self, agent: &str) -> Vec<String> {
        let show = self.json(&["show", &self.run_of(agent), "--json"]);
        assert_eq!(show["unread"].as_array().map(Vec::len), Some(0), "every record is understood: {show}");
        assert!(
            show["sessions"].as_array().unwrap().iter().all(|session| session["via"] == "proxy"),
            "{show}"
        );
        let line = |note: &Value| format!("{} {}", note["what"], note["detail"]).replace('"', "");
        show["notes"].as_array().unwrap().iter().map(line).collect()
    }
}

pub fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}
