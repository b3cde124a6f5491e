//! What reaches into a pod through the gateway: kubectl's own exec, attach, logs, cp and port-forward, a client of Python's, and
//! what no client would say. The node is the one of [`super::node`].

mod clients;
mod ends;
mod exec;
mod ports;
mod streams;
mod terminals;
mod wire;

use super::node::{self, SLEEPS};
use crate::world::{POLICY, all, client, drivers, eventually, json, plan, run_of, upstream};
use interop::gateway::{Gateway, Plan, Site};
use interop::kubernetes::{Kubernetes, Pod};
use interop::limits::CLIENT_SECONDS_MAX;
use interop::place::free_port;
use interop::process::{Finished, finish};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::OnceLock;

const SSN: &str = "536-22-8391";
const EMAIL: &str = "ada.osei@example.com";

/// Agents: all may do everything in the cluster, but `pod-plain` nothing that cannot be known, `pod-stander` sits at no terminal,
/// `pod-reader` has some files and programs, `pod-asker` asks before it executes, and `pod-narrow` may have little.
const RULES: &str = r#"
@id("pod-all")
permit (principal, action, resource in Resource::"prod");
@id("pod-plain")
@message("This agent runs only what can be known.")
forbid (principal in Agent::"pod-plain", action == Action::"opaque", resource in Resource::"prod");
@id("pod-stands")
@message("This agent sits at no terminal.")
forbid (principal in Agent::"pod-stander", action == Action::"shell", resource in Resource::"prod");
@id("pod-no-shadow")
@message("Nobody reads that.")
forbid (principal in Agent::"pod-reader", action == Action::"read", resource in Resource::"prod/default/pods/box/exec/file/etc/shadow");
@id("pod-no-rm")
@message("This agent deletes nothing.")
forbid (principal in Agent::"pod-reader", action == Action::"execute", resource in Resource::"prod/default/pods/box/exec/program/rm");
@id("pod-known")
forbid (principal in Agent::"pod-reader", action == Action::"opaque", resource in Resource::"prod");
@id("pod-asks")
@needs("leads")
forbid (principal in Agent::"pod-asker", action == Action::"execute", resource in Resource::"prod")
unless { context.approvals.contains("leads") };
@id("pod-narrow")
@message("More than this agent may have at once.")
forbid (principal in Agent::"pod-narrow", action == Action::"release", resource in Resource::"prod")
when { context.kind == "EXEC" && context.bytes > 100000 };
"#;

/// The pod into which most go.
const BOX: &str = "box";

/// What reaches into a pod.
#[derive(Clone, Copy)]
enum Kind {
    Exec,
    Attach,
    Log,
    PortForward,
    /// A port-forward in channels.
    Channels,
    Port,
}

struct Scene {
    gateway: Gateway,
}

/// The node's cluster, with a pod to go into.
fn cluster() -> &'static Kubernetes {
    static POD: OnceLock<()> = OnceLock::new();
    POD.get_or_init(|| node::run(&Pod::new(BOX, &SLEEPS)));
    &node::scene().cluster
}

/// The cluster as a resource that is reached at `port`; `lines` are further ones.
fn table(cluster: &Kubernetes, port: u16, lines: &str) -> String {
    // Each its own: who starts another one does not write what a gateway reads.
    let token = drivers().dir().join(format!("cluster-token-{port}"));
    std::fs::write(&token, "token-of-admin\n").unwrap();
    std::fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
    format!(
        "\n[[resource]]\nname = \"prod\"\nkind = \"kubernetes\"\nlisten = \"127.0.0.1:{port}\"\n\
         upstream = \"https://127.0.0.1:{}\"\nca = \"{}\"\ncredential = {{ file = \"{}\" }}\n{lines}\n",
        cluster.port,
        cluster.kubeconfig().with_file_name("ca.crt").display(),
        token.display()
    )
}

impl Scene {
    fn start(lines: &str, change: impl FnOnce(&mut Plan)) -> Scene {
        let port = free_port().unwrap();
        let tables = table(cluster(), port, lines);
        let mut plan =
            Plan { policy: format!("{POLICY}{RULES}"), tables, durability: "os".to_owned(), ..plan() };
        change(&mut plan);
        Scene { gateway: Site::new(&plan, upstream()).unwrap().up().unwrap() }
    }

    fn shared() -> &'static Scene {
        static SHARED: OnceLock<Scene> = OnceLock::new();
        SHARED.get_or_init(|| Scene::start("reel = \"full\"", |_| {}))
    }

    /// Runs a shell script as an agent.
    fn sh(&self, agent: &str, script: &str) -> Finished {
        self.fed(agent, script, b"")
    }

    fn fed(&self, agent: &str, script: &str, input: &[u8]) -> Finished {
        let words = ["/bin/sh", "-c", script].map(Path::new);
        finish(&mut self.gateway.run(agent, &words), input, CLIENT_SECONDS_MAX).unwrap()
    }

    /// Runs a case of `kubernetes_wire.py` as an agent.
    fn wire(&self, agent: &str, words: &[&str]) -> Finished {
        let (python, script) = (drivers().python(), client("kubernetes_wire.py"));
        let words: Vec<&Path> =
            [python.as_path(), &script].into_iter().chain(words.iter().map(Path::new)).collect();
        finish(&mut self.gateway.run(agent, &words), b"", CLIENT_SECONDS_MAX).unwrap()
    }

    fn site(&self) -> &Site {
        self.gateway.site()
    }

    /// What a verb says of the newest run of an agent.
    fn ask(&self, verb: &str, agent: &str, flags: &[&str]) -> String {
        let said = self.site().ask(&[&[verb, &run_of(self.site(), agent)][..], flags].concat(), "").unwrap();
        said.out()
    }

    /// What the record of the newest run of an agent shows.
    fn show(&self, agent: &str) -> Value {
        let shown = json(self.site(), &["show", &run_of(self.site(), agent), "--json"]);
        assert_eq!(shown["unread"], serde_json::json!([]), "every record of it is understood whole");
        shown
    }

    /// The actions of one kind of an agent's newest run, without those with which kubectl tries whether the server knows
    /// WebSocket's newer channels: it does not, and says 403.
    fn actions(&self, agent: &str, kind: Kind) -> Vec<Value> {
        let shown = self.show(agent);
        let is = |action: &&Value| {
            let statement = action["statement"].as_str().unwrap();
            let own = match kind {
                Kind::Exec => statement.contains("/exec?"),
                Kind::Attach => statement.contains("/attach?"),
                Kind::Log => statement.contains("/log?") || statement.contains("/log |"),
                Kind::PortForward => statement.starts_with("POST ") && statement.contains("/portforward"),
                Kind::Channels => statement.starts_with("GET ") && statement.contains("/portforward?"),
                Kind::Port => statement.starts_with("PORT "),
            };
            own && action["result"]["code"] != "403"
        };
        shown["actions"].as_array().unwrap().iter().filter(is).cloned().collect()
    }

    /// The only one, once it has an outcome.
    #[track_caller]
    fn only(&self, agent: &str, kind: Kind) -> Value {
        eventually("an outcome", || {
            let mut all = self.actions(agent, kind);
            assert!(all.len() <= 1, "{all:?}");
            all.pop().filter(|action| !action["result"].is_null())
        })
    }
}

#[track_caller]
fn exits(scene: &Scene, done: &Finished, status: i32) {
    assert_eq!(done.status.code(), Some(status), "{}", scene.gateway.explain(done));
}
