//! An issuer of tokens: PyJWT behind Python's HTTPS (`interop/clients/issuer.py`), and a gateway that trusts it.

use crate::world::{client, drivers, own_site};
use interop::gateway::Site;
use interop::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use interop::place::{Scratch, free_port, is_open};
use interop::process::{Daemon, finish};
use interop::tls::Authority;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const RULES: &str = r#"
@id("ci-for-ops")
permit (principal in Agent::"deployer", action == Action::"delegate", resource == Human::"ops")
when { principal.human == Human::"ci:repo:org/app:ref:refs/heads/main" };
@id("exchanged")
permit (principal in Agent::"asker", action == Action::"delegate", resource == Human::"ada")
when { principal.human == Human::"idp:svc-planner" || principal.human == Human::"idp:00u-bob" };
@id("claimed-writers-write")
permit (principal in Agent::"scribe", action == Action::"write", resource in Resource::"crm")
when { principal.human in Group::"idp:writers" };
@id("deployer-writes")
permit (principal in Agent::"deployer", action == Action::"write", resource in Resource::"crm")
when { principal.human in Group::"releases" };
"#;

/// An issuer at `https://localhost:PORT/o`.
pub struct Issuer {
    scratch: Scratch,
    authority: Authority,
    port: u16,
}

impl Issuer {
    pub fn new() -> Issuer {
        let scratch = Scratch::new("issuer").unwrap();
        let authority = Authority::new(scratch.path()).unwrap();
        let issuer = Issuer { scratch, authority, port: free_port().unwrap() };
        issuer.key("k1", "RS256");
        issuer
    }

    /// Another one, with keys and an authority of its own, that will answer at the same place.
    pub fn impostor(&self) -> Issuer {
        Issuer { port: self.port, ..Issuer::new() }
    }

    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    pub fn iss(&self) -> String {
        format!("https://localhost:{}/o", self.port)
    }

    pub fn script(&self, words: &[&str], input: &str) -> String {
        let mut python = Command::new(drivers().python());
        python.arg(client("issuer.py")).arg(words[0]).arg(self.dir()).args(&words[1..]);
        let done = finish(&mut python, input.as_bytes(), CLIENT_SECONDS_MAX).unwrap();
        assert!(done.status.success(), "{}", done.all());
        done.out().trim().to_owned()
    }

    pub fn key(&self, kid: &str, alg: &str) {
        self.script(&["key", kid, alg], "");
    }

    pub fn sign(&self, kid: &str, alg: &str, claims: &Value) -> String {
        self.script(&["sign", kid, alg], &claims.to_string())
    }

    pub fn serve(&self) -> Daemon {
        let (cert, key) = self.authority.sign("issuer", "DNS:localhost").unwrap();
        let mut python = Command::new(drivers().python());
        python.arg(client("issuer.py")).arg("serve").arg(self.dir()).arg(self.port.to_string());
        python.arg(cert).arg(key);
        let mut daemon = Daemon::start(&mut python, &self.dir().join("issuer.log"), "TERM").unwrap();
        daemon.wait_ready(START_SECONDS_MAX, || is_open(self.port)).unwrap();
        daemon
    }

    /// A job's, as GitHub Actions' are.
    pub fn job(&self, id: &str) -> Value {
        let now = now();
        json!({
            "iss": self.iss(), "aud": "tacho", "sub": "repo:org/app:ref:refs/heads/main", "jti": id, "iat": now,
            "nbf": now - 5, "exp": now + 600, "repository": "org/app", "ref": "refs/heads/main",
            "sha": "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e", "actor": "octocat", "workflow": "deploy",
        })
    }

    /// A person's, as an identity provider makes them.
    pub fn person(&self, subject: &str, mail: &str, id: &str) -> Value {
        let now = now();
        json!({
            "iss": self.iss(), "aud": ["tacho-people"], "sub": subject, "jti": id, "iat": now, "exp": now + 600,
            "email": mail, "email_verified": true, "groups": ["writers"],
        })
    }

    /// A site whose gateway trusts it: jobs by discovery, people by its JWKS, service accounts by a file.
    pub fn site(&self, database: &str) -> Site {
        let (iss, ca) = (self.iss(), self.authority.certificate());
        let (ca, file) = (ca.display(), self.dir().join("jwks.json"));
        let file = file.display();
        own_site(database, |plan| {
            plan.durability = "os".to_owned();
            plan.policy.push_str(RULES);
            plan.tables = format!(
                r#"
[[human]]
name = "ops"
groups = ["releases"]
[[human]]
name = "bob"
[[issuer]]
name = "ci"
issuer = "{iss}"
audience = "tacho"
keys = {{ discover = true, ca = "{ca}" }}
owner = "ops"
agent = "deployer"
agent_version_claim = "sha"
require = {{ repository = "org/app", ref = "refs/heads/main" }}
[[issuer]]
name = "idp"
issuer = "{iss}"
audience = "tacho-people"
keys = {{ url = "{iss}/jwks", ca = "{ca}" }}
algorithms = ["RS256", "EdDSA"]
human_claim = "email"
humans = {{ "ada@example.org" = "ada", "bob@example.org" = "bob", "00u-bob" = "bob" }}
groups_claim = "groups"
[[issuer]]
name = "k8s"
issuer = "https://kubernetes.default.svc.cluster.local"
audience = "tacho"
keys = {{ file = "{file}" }}
owner = "ada"
agent_claim = "/kubernetes.io/serviceaccount/name"
require = {{ "/kubernetes.io/namespace" = "jobs" }}
runs_per_token = 2
"#
            );
        })
    }
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
