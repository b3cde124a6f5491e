//! A gateway whose listeners and services speak HTTP/2, and one service that does not.

use crate::world::{POLICY, client, drivers, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::nginx::Nginx;
use interop::place::{Scratch, free_port, is_open};
use interop::process::{Daemon, Finished, finish};
use interop::tls::Authority;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub const KEY: &str = "upstream-key-91c4be";
pub const SECRETS: &[&str] = &["536-22-8391", "ada.osei@example.com", KEY];

const RULES: &str = r#"
@id("two-reads")
permit (principal, action in [Action::"connect", Action::"read"], resource);
@id("two-echoes")
permit (principal in Agent::"tester", action == Action::"write", resource);
@id("two-opaque")
permit (principal in Agent::"blind", action in [Action::"opaque", Action::"write"], resource);
@id("two-asks")
permit (principal in Agent::"asker", action == Action::"write", resource);
@id("two-leads")
@needs("leads")
forbid (principal in Agent::"asker", action == Action::"write", resource)
unless { context.approvals.contains("leads") };
@id("two-slow")
forbid (principal, action, resource in Resource::"one/forbidden");
"#;

pub struct Scene {
    pub gateway: Gateway,
    /// In plain, before HTTP/1.1.
    pub one: u16,
    pub ca: PathBuf,
    log_one: PathBuf,
    log_two: PathBuf,
    _services: Vec<Daemon>,
    _nginx: Nginx,
    _place: Scratch,
}

impl Scene {
    fn start() -> Scene {
        let place = Scratch::new("http2").unwrap();
        let authority = Authority::new(place.path()).unwrap();
        let (cert, key) = authority.sign("good", "DNS:localhost,IP:127.0.0.1").unwrap();
        let [plain, secure, known, hostile, one, two, prior, nginx_at] =
            [(); 8].map(|()| free_port().unwrap());
        let dir = drivers().dir();
        let (log_one, log_two) = (dir.join("http2-seen-one"), dir.join("http2-seen-two"));
        let ca = dir.join("http2-ca.crt");
        std::fs::copy(authority.certificate(), &ca).unwrap();
        std::fs::set_permissions(&ca, std::fs::Permissions::from_mode(0o644)).unwrap();
        let start = |mut command: Command, port: u16| {
            let said = dir.join(format!("http2-service-{port}.log"));
            let mut service = Daemon::start(&mut command, &said, "TERM").unwrap();
            service.wait_ready(Duration::from_secs(60), || is_open(port)).unwrap();
            service
        };
        let mut python = Command::new(drivers().python());
        python.arg(client("http_service.py")).arg(plain.to_string()).arg(&log_one);
        let node = |port: u16| {
            let mut node = Command::new("node");
            node.arg(client("h2_service.mjs")).arg(port.to_string()).arg(&log_two);
            node
        };
        let mut tls = node(secure);
        tls.arg(&cert).arg(&key);
        let mut bad = Command::new(drivers().python());
        bad.arg(client("h2_hostile.py")).arg(hostile.to_string());
        let services =
            vec![start(python, plain), start(tls, secure), start(node(known), known), start(bad, hostile)];
        // The port of the test's own server block is not asked; the one with TLS is.
        let beside = format!(
            "server {{ listen 127.0.0.1:{nginx_at} ssl http2; server_name localhost; ssl_certificate {}; ssl_certificate_key {};\n\
             location /users/1 {{ default_type application/json; return 200 '{{\"ssn\": \"536-22-8391\", \"by\": \"$server_protocol\"}}'; }}\n\
             location /echo {{ proxy_pass http://127.0.0.1:{plain}; client_max_body_size 64m; }} }}\n",
            cert.display(),
            key.display()
        );
        let nginx = Nginx::start(&beside, "return 404;").unwrap();
        let secret = dir.join("http2-key");
        std::fs::write(&secret, format!("{KEY}\n")).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let resource = |name: &str, port: u16, url: String, lines: &str| {
            let ca =
                if url.starts_with("https") { format!("ca = \"{}\"\n", ca.display()) } else { String::new() };
            format!(
                "\n[[resource]]\nname = \"{name}\"\nkind = \"http\"\nlisten = \"127.0.0.1:{port}\"\nupstream = \"{url}\"\n{ca}\
                 credential = {{ file = \"{}\" }}\nroutes = [\"/users/{{id}}\"]\n{lines}\
                 \n[[resource.mask]]\npath = \"$..ssn\"\nclass = \"pii.ssn\"\nas = \"partial:4\"\n\
                 \n[[resource.mask]]\npath = \"$..email\"\nclass = \"pii.email\"\n",
                secret.display()
            )
        };
        let pair = format!("tls = {{ cert = \"{}\", key = \"{}\" }}\n", cert.display(), key.display());
        let tables = [
            resource("one", one, format!("http://localhost:{plain}"), ""),
            resource("two", two, format!("https://localhost:{secure}"), &pair),
            resource("prior", prior, format!("http://localhost:{known}"), "http = \"2\"\n"),
            resource("nginx", free_port().unwrap(), format!("https://localhost:{nginx_at}"), ""),
            resource(
                "old",
                free_port().unwrap(),
                format!("https://localhost:{nginx_at}"),
                "http = \"1.1\"\n",
            ),
            resource(
                "hostile",
                free_port().unwrap(),
                format!("http://localhost:{hostile}"),
                "http = \"2\"\n",
            ),
            // Whose service speaks HTTP/1.1 alone.
            resource("deaf", free_port().unwrap(), format!("http://localhost:{plain}"), "http = \"2\"\n"),
        ];
        let plan = Plan {
            policy: format!("{POLICY}{RULES}"),
            tables: tables.concat(),
            durability: "os".to_owned(),
            ..plan()
        };
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, one, ca, log_one, log_two, _services: services, _nginx: nginx, _place: place }
    }

    /// Runs a shell script as an agent; `$CA` is the authority of the listener with TLS.
    pub fn sh(&self, agent: &str, script: &str) -> Finished {
        let script = format!("CA={}; {script}", self.ca.display());
        let words = [Path::new("/bin/sh"), Path::new("-c"), Path::new(&script)];
        self.gateway.run_to_end(agent, &words, "").unwrap()
    }

    pub fn program(&self, agent: &str, name: &str, text: &str) -> Finished {
        let file = drivers().file(name, text).unwrap();
        let python = if name.ends_with(".mjs") { "node".into() } else { drivers().python() };
        self.sh(agent, &format!("CA=$CA {} {}", python.display(), file.display()))
    }

    /// What the service of HTTP/1.1 saw, and those of HTTP/2.
    pub fn seen(&self) -> Vec<Value> {
        [&self.log_one, &self.log_two].into_iter().flat_map(lines).collect()
    }

    pub fn json(&self, words: &[&str]) -> Value {
        json(self.gateway.site(), words)
    }

    pub fn ask(&self, words: &[&str], token: Option<&str>) -> Finished {
        let mut command = self.gateway.site().tacho();
        if let Some(token) = token {
            command.env("TACHO_OPERATOR_TOKEN", token);
        }
        finish(command.args(words), b"", Duration::from_secs(60)).unwrap()
    }

    /// The newest run of an agent.
    pub fn run_of(&self, agent: &str) -> String {
        run_of(self.gateway.site(), agent)
    }
}

fn lines(log: &PathBuf) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn scene() -> &'static Scene {
    static SHARED: OnceLock<Scene> = OnceLock::new();
    SHARED.get_or_init(Scene::start)
}
