//! `tacho init`: a commented configuration, a starter policy, and an auditor's key. Asks nothing, overwrites nothing.

use std::path::Path;

use answers::Answer;
use answers::text::Text;
use ledger::SystemRandom;
use ledger::keys::{AuditorKey, AuditorSecret};
use serde::{Deserialize, Serialize};

use crate::analyst::passphrase;
use crate::cli;
use crate::config::FILE_NAME;
use crate::fault::{Failure, Outcome};
use crate::{files, out, users};

/// What was written, what stood there already, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Initialised {
    pub wrote: Vec<String>,
    pub kept: Vec<String>,
    /// The auditor's public key.
    pub auditor: String,
    pub remarks: Vec<String>,
}

impl Answer for Initialised {
    const SHAPE: &'static str = "tacho.initialised/1";

    fn render(&self, text: &mut Text) {
        self.wrote.iter().for_each(|path| text.line(&format!("wrote  {path}")));
        self.kept.iter().for_each(|path| text.line(&format!("kept   {path} (it was there already)")));
        self.remarks.iter().for_each(|remark| text.line(remark));
    }
}

pub fn init(args: &cli::Init, json: bool) -> Outcome {
    std::fs::create_dir_all(&args.dir).map_err(|e| Failure::file("make the directory", &args.dir, &e))?;
    let mut done =
        Initialised { wrote: Vec::new(), kept: Vec::new(), auditor: String::new(), remarks: Vec::new() };
    let home = files::config_home().ok_or_else(|| {
        Failure::could_not(
            "there is no home directory for the auditor's key; set HOME to a directory of yours",
        )
    })?;
    let auditor = auditor_key(args, &home, &mut done)?;
    done.auditor = auditor.to_string();
    done.note(&args.dir.join(FILE_NAME), 0o644, configuration(&auditor).as_bytes())?;
    let policy = args.dir.join("policy");
    std::fs::create_dir_all(&policy).map_err(|e| Failure::file("make the directory", &policy, &e))?;
    done.note(&policy.join("starter.cedar"), 0o644, policy::STARTER.as_bytes())?;
    done.remarks.push(format!(
        "next: name your database in {}, then `tacho check`",
        args.dir.join(FILE_NAME).display()
    ));
    out::answer(&done, json)
}

impl Initialised {
    fn note(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Failure> {
        let list = if files::write_new(path, mode, bytes)? { &mut self.wrote } else { &mut self.kept };
        list.push(path.display().to_string());
        Ok(())
    }
}

/// The operator's auditor key: the one that is there, or a new one. The secret half never stands below the data.
fn auditor_key(args: &cli::Init, home: &Path, done: &mut Initialised) -> Result<AuditorKey, Failure> {
    files::make_private_dir(home)?;
    let (secret_path, public_path) = (home.join("auditor.key"), home.join("auditor.pub"));
    if let Some(text) = files::read_private(&public_path, 4096)? {
        done.kept.push(public_path.display().to_string());
        return AuditorKey::parse(&text).map_err(|e| broken(&public_path, &e));
    }
    let failed = |e| Failure::could_not(format!("cannot make an auditor's key: {e}"));
    let secret = AuditorSecret::generate(&SystemRandom::new()).map_err(failed)?;
    let passphrase = args.passphrase_file.as_deref().map(passphrase).transpose()?;
    let text =
        secret.to_text(passphrase.as_ref().map(|p| p.as_bytes()), &SystemRandom::new()).map_err(failed)?;
    if !files::write_new(&secret_path, 0o600, text.as_bytes())? {
        return Err(Failure::could_not(format!(
            "{} is there and {} is not; write the `public` line of the first into the second",
            secret_path.display(),
            public_path.display()
        )));
    }
    done.wrote.push(secret_path.display().to_string());
    done.note(&public_path, 0o600, format!("{}\n", secret.public()).as_bytes())?;
    if passphrase.is_none() && !args.no_passphrase {
        done.remarks.push(format!(
            "the auditor's key in {} has no passphrase; to have one, remove both files and use --passphrase-file",
            secret_path.display()
        ));
    }
    Ok(secret.public())
}

fn broken(path: &Path, error: &ledger::keys::KeyError) -> Failure {
    Failure::usage(format!(
        "{}: {error}; remove it if you have no use for it, and run `tacho init` again",
        path.display()
    ))
}

/// The commented file. Everything in it that is not commented out is needed, or is the default made visible.
fn configuration(auditor: &AuditorKey) -> String {
    let (uid, name) = initiator();
    format!(
        r#"# Tachograph's configuration. `tacho check` says what is wrong with it, with the line.
# Relative paths are taken from this file's directory. No secret belongs into it.

[gateway]
data = "./tacho-data"            # the ledger
keys = "./tacho-keys"            # keys and operators; never below `data`: a copy of one must not hold the other
control = "./tacho-run/control.sock"  # what `tacho run` talks to; the directory is its own
console = "127.0.0.1:7070"       # API and web pages; loopback only
policy = "./policy"              # Cedar; `tacho policy check`
# proxy = "127.0.0.1:3128"       # what agents find in HTTPS_PROXY; reaches the resources below by their upstreams' URLs, and
                                 # no other host. Services, models and servers of MCP then need no `listen`
durability = "sync"              # "os" is faster, and no report over it claims that no effect is without evidence
# approval_timeout = "120s"      # silence is a no
# run_lifetime = "24h"           # after that a run's credentials die
# agent_user = "tacho-agent"     # whom agents run as when `tacho run` is root; without it: nobody
auditors = ["{auditor}"]  # who can open fingerprints and reels

# Who remembers, on another machine, what this ledger was: `tacho witness keygen` there prints the key.
# [[witness]]
# url = "http://witness.example:7080"
# key = "witness.example/1+1080cdb9+BEqznYUpu7zEPc0R6cvBO0YslArDrqAjmfZ6iCgBhpE1"

# Your database. The agent connects to `listen`; only the gateway knows the upstream's credential.
# [[resource]]
# name = "crm"
# kind = "postgres"
# listen = "127.0.0.1:6432"
# upstream = "postgres://app@db.internal:5432/crm?sslmode=verify-full"   # &sslrootcert=FILE where its CA is your own
# credential = {{ env = "CRM_PASSWORD" }}   # or {{ file = "PATH" }}, or {{ command = ["PROGRAM", "ARGUMENT"] }}
# reel = "head"                  # what replay can show: "full", "head" (8 MiB of each response), "head:SIZE", "none"
# read_only = false              # true: upstream sessions are read-only even where policy permits writing
# connections_per_run = 64       # of the database's own; a run that asks for more is told 53300
# statement_timeout = "30s"      # clients may only lower it; read-only sessions have 10 minutes without it, "0s" is none
# lock_timeout = "60s"           # clients may only lower it, as all three; "0s" is none
# idle_in_transaction_timeout = "10m"   # the same for a transaction in which nothing is asked
# hold_in_transaction = "0s"     # nobody is asked for approval while a transaction holds locks; "10s": it may take so long
# tripwire = "mask"              # a secret found in an undeclared column is masked; "cut" ends the connection
# vouch = ["public.slugify"]     # functions of yours that only read their arguments; "extension:citext": all of an extension's
#
# [[resource.mask]]
# column = "public.customers.ssn"
# class = "pii.ssn"
# as = "row-token"               # null, redact, row-token, partial:N, bucket:WIDTH

# An HTTP service. A run finds it in BILLING_BASE_URL and BILLING_API_KEY.
# [[resource]]
# name = "billing"
# kind = "http"
# listen = "127.0.0.1:7443"        # plain HTTP on this machine; elsewhere with tls = {{ cert = "...", key = "..." }}
# upstream = "https://billing.internal/v2"
# ca = "billing-ca.pem"          # authorities to trust instead of the system's
# credential = {{ env = "BILLING_KEY" }}
# inject = "bearer"              # basic (of user:password), header:NAME, query:NAME, sigv4 (of ID:SECRET, with region and service)
# routes = ["/users/{{id}}"]       # one name in policy and records for all users
# http = "2"                     # or "1.1": what the service speaks; without it, what it chooses by ALPN
# text = "opaque"                # beside masks, answers that are not JSON need that permission; or "detectors" alone
#
# [[resource.mask]]
# path = "$..ssn"                # in JSON answers
# class = "pii.ssn"
# as = "redact"                  # null, redact, partial:N

# A language model. Its clients find it in OPENAI_BASE_URL and OPENAI_API_KEY, or in ANTHROPIC_...
# [[resource]]
# name = "gpt"
# kind = "llm"
# listen = "127.0.0.1:7444"
# upstream = "https://api.openai.com/v1"
# credential = {{ env = "OPENAI_KEY" }}
# dialect = "openai"             # or "anthropic", whose clients send the key as x-api-key
# prompts = "mask"               # what detectors find on its way to the model; "report" lets it leave and says so

# A server of MCP. A run finds it in FILES_BASE_URL and FILES_API_KEY (a bearer token).
# [[resource]]
# name = "files"
# kind = "mcp"
# listen = "127.0.0.1:7445"
# upstream = "https://mcp.internal/mcp"
# credential = {{ env = "FILES_TOKEN" }}
# tools = ["write_file/{{path...}}"]  # arguments that are a part of the resource: files/tools/write_file/srv/a.txt
# open_arguments = ["mode"]      # arguments whose values policy sees: context.arguments.contains("mode=overwrite")
# changed_tools = "refuse"       # a tool whose description is not what it was first; or "report"

# A host. In a run `ssh build COMMAND` works as it is; policy sees the programs, files and hosts of a command's line:
# permit (principal, action == Action::"execute", resource in Resource::"build/deploy/program/systemctl");
# `ssh -L`, `-W` and `-J` reach what a rule names; what is no resource of this gateway is opaque, besides (context.kind == "FORWARD"):
# permit (principal, action == Action::"call", resource == Resource::"build/deploy/host/db.internal/5432");
# `sftp` and `scp` are let in by this, and then decided file by file:
# permit (principal, action == Action::"execute", resource == Resource::"build/deploy/subsystem/sftp");
# `ssh build` alone, and `ssh -t`, need `shell` beside `execute` and `opaque`; the starter's rule no-opaque forbids that, and has to except it.
# [[resource]]
# name = "build"
# kind = "ssh"
# listen = "127.0.0.1:6022"
# upstream = "ssh://deploy@build.internal:22"
# known_hosts = "known_hosts"    # of OpenSSH's form; or host_key = "ssh-ed25519 AAAA...": `tacho check` shows what the host has
# credential = {{ file = "id_ed25519" }}   # a private key, with certificate = "FILE" perhaps; or {{ env = "NAME", kind = "password" }}
# login_shell = "sh"             # "bash" where it is: what shells read differently is opaque without it; "other": no line is read

# A Kubernetes cluster. A run's kubectl works as it is; policy sees what each call does, and on what:
# permit (principal, action == Action::"write", resource in Resource::"prod/shop/deployments.apps");
# `kubectl exec` is its command, below the pod: Resource::"prod/shop/pods/web/exec/program/ls".
# [[resource]]
# name = "prod"
# kind = "kubernetes"
# listen = "127.0.0.1:7446"        # TLS, with the installation's own certificate; or tls = {{ cert = "...", key = "..." }}
# upstream = "kubeconfig:kubeconfig"   # a file; or "in-cluster:"; or "https://api.internal:6443" with ca = and credential =
# context = "prod"               # of the kubeconfig; without it the current one
# impersonate = {{ user = "agents", groups = ["agents"] }}   # whom the cluster takes the requests for
#
# [[resource.mask]]
# class = "config.env"           # beside secrets and tokens: values of variables; "config.kubernetes": of config maps

# People who start runs, known by the uid of their processes. With `delegate` one may
# end runs, and start them for others where policy permits `delegate`.
[[human]]
name = "{name}"
uid = {uid}
groups = []                      # for policy: principal.human in Group::"..."
# delegate = true
"#
    )
}

/// Who runs `init`: behind `sudo`, the person who does.
fn initiator() -> (u32, String) {
    let own = rustix::process::getuid().as_raw();
    let behind = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok());
    let uid = behind.filter(|_| own == 0).unwrap_or(own);
    let plain =
        |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let name = Some(users::name_of(uid)).filter(plain).unwrap_or_else(|| format!("uid-{uid}"));
    (uid, name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn what_init_writes_is_a_good_configuration_with_and_without_its_comments() {
        let auditor = AuditorKey::from_bytes([7; 32]);
        let text = configuration(&auditor);
        let config = Config::parse(Path::new("/srv/tacho.toml"), text.as_bytes()).unwrap();
        assert_eq!(config.gateway.auditors, [auditor]);
        assert_eq!(config.humans[0].uid, Some(initiator().0));

        let is_key = |line: &str| line.starts_with(['[', '#']) || line.contains(" = ");
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|l| l.contains(" = ") || l.starts_with('[')).unwrap_or(line)
            })
            .filter(|line| is_key(line) && !line.contains("agent_user"))
            .map(|line| format!("{line}\n"))
            .collect();
        let config = Config::parse(Path::new("/srv/tacho.toml"), uncommented.as_bytes()).unwrap();
        assert_eq!(config.resources[0].name, "crm");
        let crate::config::What::Postgres(database) = &config.resources[0].what else {
            panic!("no database")
        };
        assert_eq!(database.masks.len(), 1);
        assert!(config.humans[0].delegate);
    }
}
