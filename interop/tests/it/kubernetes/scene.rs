//! A cluster and a gateway before it, for the tests of what goes through: unchanged clients, as agents, and the same clients
//! beside the gateway to compare with.

use crate::world::{POLICY, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Lease, Plan, Site};
use interop::kubernetes::{ADMIN, Kubernetes, programs, token};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::{Scratch, free_port};
use interop::process::{Finished, finish};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// Everything that is understood may be done; a test forbids to its own agents what it is about.
const RULES: &str = r#"
@id("prod-all")
permit (principal, action in [Action::"connect", Action::"read", Action::"write", Action::"execute", Action::"define",
    Action::"administer", Action::"call"], resource in Resource::"prod");
"#;

/// A gateway before a cluster.
pub struct Scene {
    pub gateway: Gateway,
    pub cluster: &'static Kubernetes,
    pub port: u16,
}

/// The cluster of the tests that need no node.
pub fn cluster() -> &'static Kubernetes {
    static SHARED: OnceLock<Kubernetes> = OnceLock::new();
    SHARED.get_or_init(|| Kubernetes::start(&programs().unwrap()).unwrap())
}

impl Scene {
    /// `lines`: further ones of the resource, tables behind them. The gateway is the cluster's [`ADMIN`].
    pub fn before(
        cluster: &'static Kubernetes,
        rules: &str,
        lines: &str,
        change: impl FnOnce(&mut Plan),
    ) -> Scene {
        let port = free_port().unwrap();
        let credential = cluster.file(&format!("token-{port}"), &token(ADMIN)).unwrap();
        let tables = format!(
            "\n[[resource]]\nname = \"prod\"\nkind = \"kubernetes\"\nlisten = \"127.0.0.1:{port}\"\n\
             upstream = \"https://127.0.0.1:{}\"\nca = \"{}\"\ncredential = {{ file = \"{}\" }}\n{lines}\n",
            cluster.port,
            cluster.authority().display(),
            credential.display()
        );
        let policy = format!("{POLICY}{RULES}{rules}");
        let mut plan = Plan { policy, tables, durability: "os".to_owned(), ..plan() };
        change(&mut plan);
        let gateway = Site::new(&plan, upstream()).unwrap().up().unwrap();
        Scene { gateway, cluster, port }
    }

    /// Runs a shell script as an agent; its `kubectl` finds the gateway and nothing else.
    pub fn sh(&self, agent: &str, script: &str) -> Finished {
        self.fed(agent, script, "")
    }

    pub fn fed(&self, agent: &str, script: &str, input: &str) -> Finished {
        self.gateway.run_to_end(agent, &["/bin/sh", "-c", script].map(Path::new), input).unwrap()
    }

    /// What a script prints that ends well.
    #[track_caller]
    pub fn out(&self, agent: &str, script: &str) -> String {
        let done = self.sh(agent, script);
        assert!(done.status.success(), "{script}: {}", self.gateway.explain(&done));
        done.out()
    }

    /// kubectl beside the gateway, as who may do everything.
    pub fn direct(&self, words: &[&str]) -> Finished {
        self.direct_fed(words, "")
    }

    pub fn direct_fed(&self, words: &[&str], input: &str) -> Finished {
        finish(&mut self.cluster.kubectl(ADMIN, words), input.as_bytes(), CLIENT_SECONDS_MAX).unwrap()
    }

    /// What kubectl prints beside the gateway, if it ends well.
    #[track_caller]
    pub fn direct_out(&self, words: &[&str]) -> String {
        let done = self.direct(words);
        assert!(done.status.success(), "{words:?}: {}", done.all());
        done.out()
    }

    /// The same script beside the gateway.
    pub fn beside(&self, script: &str) -> Finished {
        let scratch = Scratch::new("beside").unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).env("HOME", scratch.path()).env("KUBECONFIG", self.cluster.kubeconfig());
        finish(&mut shell, b"", CLIENT_SECONDS_MAX).unwrap()
    }

    /// One request of curl's with a run's credential: the status, and the body.
    pub fn curl(&self, token: &str, words: &[&str], path: &str) -> (u16, String) {
        curl(self.port, token, words, path)
    }

    /// The same beside the gateway, as who may do everything.
    pub fn direct_curl(&self, words: &[&str], path: &str) -> (u16, String) {
        curl(self.cluster.port, &token(ADMIN), words, path)
    }

    /// Makes what these objects say, beside the gateway.
    #[track_caller]
    pub fn make(&self, objects: &str) {
        let done = self.direct_fed(&["create", "-f", "-"], objects);
        assert!(done.status.success(), "{}", done.all());
    }

    /// A run that stays, for clients that are not its children, and its credential.
    pub fn lease(&self, agent: &str) -> (Lease, String) {
        let (lease, said) = self.gateway.lease_saying(agent, "cat \"$KUBECONFIG\"").unwrap();
        let config: Value = serde_json::from_str(&said).unwrap();
        let token = config["users"][0]["user"]["token"].as_str().unwrap().to_owned();
        (lease, token)
    }

    /// What a verb answers in JSON about the newest run of an agent: `show`, `touched`, `exposed`.
    pub fn told(&self, verb: &str, agent: &str) -> Value {
        let site = self.gateway.site();
        json(site, &[verb, &run_of(site, agent), "--json"])
    }

    /// What the record of the newest run of an agent shows, all of which is understood.
    pub fn show(&self, agent: &str) -> Value {
        let shown = self.told("show", agent);
        assert_eq!(shown["unread"], serde_json::json!([]), "every record of it is understood whole");
        shown
    }

    /// The answered requests that a run's numbers stand in, in the cluster's own audit log.
    pub fn audited(&self, agent: &str) -> Vec<Value> {
        let run = run_of(self.gateway.site(), agent);
        let log = self.cluster.audit().unwrap();
        // The last line may be in the writing.
        let events = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let events = events.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let ours = format!("tacho-{run}-");
        events
            .filter(|event| event["stage"] == "ResponseComplete")
            .filter(|event| event["auditID"].as_str().is_some_and(|id| id.starts_with(&ours)))
            .collect()
    }
}

fn curl(port: u16, token: &str, words: &[&str], path: &str) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-sSk", "-g", "--path-as-is", "--max-time", "30", "-w", "\n%{http_code}"]);
    curl.args(["-H", &format!("Authorization: Bearer {token}")]).args(words);
    let done = finish(curl.arg(format!("https://127.0.0.1:{port}{path}")), b"", CLIENT_SECONDS_MAX).unwrap();
    let said = done.out();
    let (body, status) = said.rsplit_once('\n').unwrap_or_else(|| panic!("{path}: {}", done.all()));
    (status.parse().unwrap_or_else(|_| panic!("{path}: {}", done.all())), body.to_owned())
}
