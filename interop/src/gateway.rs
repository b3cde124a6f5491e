//! The real `tacho`, before a real PostgreSQL.

use crate::limits::{CLIENT_SECONDS_MAX, START_SECONDS_MAX};
use crate::place::{Scratch, free_port, is_open, uid};
use crate::postgres::Postgres;
use crate::process::{Daemon, Finished, Trouble, finish, tail};
use crate::programs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The environment variable in which the gateway finds the upstream's password.
const CREDENTIAL: &str = "CRM_PASSWORD";

/// The name by which the configuration knows whoever runs the tests.
pub const HUMAN: &str = "ada";

/// What a gateway is made for: everything that a test may want otherwise.
#[derive(Debug, Clone)]
pub struct Plan {
    pub database: String,
    pub role: String,
    pub password: String,
    /// Cedar.
    pub policy: String,
    /// Column, class, kind.
    pub masks: Vec<(String, String, String)>,
    /// `sync` or `os`.
    pub durability: String,
    /// Further lines for `[gateway]`, for `[[resource]]`, and tables after both.
    pub gateway_lines: String,
    pub resource_lines: String,
    pub tables: String,
}

/// A place with a configuration; the gateway in it may or may not run.
///
/// The operator's home is in it too, so that nothing of the user's own is read or written.
#[must_use]
#[derive(Debug)]
pub struct Site {
    scratch: Scratch,
    password: String,
    /// Where clients connect.
    pub port: u16,
    pub console: u16,
    tacho: PathBuf,
}

impl Site {
    /// `tacho init`, then a configuration of our own with the auditor that it made.
    pub fn new(plan: &Plan, upstream: &Postgres) -> Result<Site, Trouble> {
        Site::new_with(plan, upstream, &programs::tacho()?)
    }

    /// With a `tacho` of the caller's choice.
    pub fn new_with(plan: &Plan, upstream: &Postgres, tacho: &Path) -> Result<Site, Trouble> {
        let wrap = |why| Trouble::Start { what: "a gateway's directory".to_owned(), why };
        let site = Site {
            scratch: Scratch::new("gateway").map_err(wrap)?,
            password: plan.password.clone(),
            port: free_port().map_err(wrap)?,
            console: free_port().map_err(wrap)?,
            tacho: tacho.to_path_buf(),
        };
        for folder in ["operator", "site"] {
            std::fs::create_dir(site.scratch.path().join(folder)).map_err(wrap)?;
        }
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(site.scratch.path().join("operator"), private).map_err(wrap)?;
        let mut init = site.bare();
        let done =
            finish(init.args(["init", "--no-passphrase", "--dir"]).arg(site.dir()), b"", CLIENT_SECONDS_MAX)?;
        if !done.status.success() {
            return Err(Trouble::Died { what: "tacho init".to_owned(), said: done.all() });
        }
        site.configure(plan, upstream).map_err(wrap)?;
        Ok(site)
    }

    /// Writes tacho.toml and the policy anew.
    pub fn configure(&self, plan: &Plan, upstream: &Postgres) -> io::Result<()> {
        let path = self.dir().join("tacho.toml");
        let auditors = std::fs::read_to_string(&path)?;
        let auditors = auditors.lines().find(|line| line.starts_with("auditors")).unwrap_or("").to_owned();
        let tls = match upstream.ca() {
            Some(ca) => format!("sslmode=verify-full&sslrootcert={}", ca.display()),
            None => "sslmode=disable".to_owned(),
        };
        let mut text = format!(
            "[gateway]\nconsole = \"127.0.0.1:{}\"\ndurability = \"{}\"\n{auditors}\n{}\n\n[[resource]]\nname = \"crm\"\n\
             kind = \"postgres\"\nlisten = \"127.0.0.1:{}\"\nupstream = \"postgres://{}@localhost:{}/{}?{tls}\"\n\
             credential = {{ env = \"{CREDENTIAL}\" }}\n{}\n",
            self.console,
            plan.durability,
            plan.gateway_lines,
            self.port,
            plan.role,
            upstream.port,
            plan.database,
            plan.resource_lines
        );
        for (column, class, kind) in &plan.masks {
            text.push_str(&format!(
                "\n[[resource.mask]]\ncolumn = \"{column}\"\nclass = \"{class}\"\nas = \"{kind}\"\n"
            ));
        }
        text.push_str(&format!("\n[[human]]\nname = \"{HUMAN}\"\nuid = {}\n{}", uid(), plan.tables));
        std::fs::write(&path, text)?;
        let policy = self.dir().join("policy");
        std::fs::create_dir_all(&policy)?;
        for entry in std::fs::read_dir(&policy)?.flatten() {
            if entry.path().extension().is_some_and(|ext| ext == "cedar") {
                std::fs::remove_file(entry.path())?;
            }
        }
        std::fs::write(policy.join("rules.cedar"), &plan.policy)
    }

    /// Changes one place of tacho.toml.
    pub fn edit(&self, from: &str, to: &str) -> io::Result<()> {
        let path = self.dir().join("tacho.toml");
        let text = std::fs::read_to_string(&path)?;
        if !text.contains(from) {
            return Err(io::Error::other(format!("tacho.toml does not hold {from}")));
        }
        std::fs::write(path, text.replacen(from, to, 1))
    }

    /// Puts another URL of the upstream into tacho.toml: `ROLE@HOST:PORT/DATABASE?...` after `postgres://`.
    pub fn reach(&self, rest: &str) -> io::Result<()> {
        let path = self.dir().join("tacho.toml");
        let text = std::fs::read_to_string(&path)?;
        let lines = text.lines().map(|line| match line.starts_with("upstream = ") {
            true => format!("upstream = \"postgres://{rest}\"\n"),
            false => format!("{line}\n"),
        });
        std::fs::write(path, lines.collect::<String>())
    }

    /// Starts `tacho up` and waits until clients can connect.
    pub fn up(self) -> Result<Gateway, Trouble> {
        let mut command = self.tacho();
        command.arg("up").env(CREDENTIAL, &self.password);
        let mut daemon = Daemon::start(&mut command, &self.scratch.path().join("gateway.log"), "TERM")?;
        // Its own word, and not an open port alone, which could be somebody else's.
        let log = self.scratch.path().join("gateway.log");
        let listens = || std::fs::read_to_string(&log).is_ok_and(|said| said.contains("tacho: verifier key"));
        daemon.wait_ready(START_SECONDS_MAX, || listens() && is_open(self.port))?;
        Ok(Gateway { daemon, site: self })
    }

    /// `tacho --config ...` as the operator: our environment, without the upstream's password.
    pub fn tacho(&self) -> Command {
        let mut command = self.bare();
        command.arg("--config").arg(self.dir().join("tacho.toml"));
        command
    }

    /// `tacho check` as whoever starts the gateway, who has the upstream's password.
    pub fn check(&self) -> Result<Finished, Trouble> {
        finish(self.tacho().arg("check").env(CREDENTIAL, &self.password), b"", CLIENT_SECONDS_MAX)
    }

    /// Runs `tacho` with these words to its end.
    pub fn ask(&self, words: &[&str], input: &str) -> Result<Finished, Trouble> {
        finish(self.tacho().args(words), input.as_bytes(), CLIENT_SECONDS_MAX)
    }

    /// Where tacho.toml, policy/, tacho-data/ and tacho-keys/ are.
    pub fn dir(&self) -> PathBuf {
        self.scratch.path().join("site")
    }

    /// Everything that the gateway keeps but its keys.
    pub fn data(&self) -> PathBuf {
        self.dir().join("tacho-data")
    }

    /// The ledger's directory, for verifiers.
    pub fn ledger(&self) -> PathBuf {
        self.data().join("ledger")
    }

    /// The auditor's secret key that `tacho init` made in the operator's home.
    pub fn auditor_key(&self) -> PathBuf {
        self.scratch.path().join("operator/.config/tacho/auditor.key")
    }

    fn bare(&self) -> Command {
        let mut command = Command::new(&self.tacho);
        command.current_dir(self.dir()).env("HOME", self.scratch.path().join("operator"));
        for name in [
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "TACHO_CONFIG",
            "TACHO_URL",
            "TACHO_AUDITOR_KEY",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// A running gateway. Stopped when dropped.
#[must_use]
#[derive(Debug)]
pub struct Gateway {
    // Declared first, so dropped first.
    daemon: Daemon,
    site: Site,
}

impl Gateway {
    pub fn start(plan: &Plan, upstream: &Postgres) -> Result<Gateway, Trouble> {
        Site::new(plan, upstream)?.up()
    }

    pub fn site(&self) -> &Site {
        &self.site
    }

    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    pub fn signal(&self, name: &str) {
        self.daemon.signal(name);
    }

    /// SIGKILL, as a crash; the place stays.
    pub fn crash(self) -> Site {
        self.daemon.crash();
        self.site
    }

    /// The polite end; the place stays.
    pub fn stop(self) -> Site {
        drop(self.daemon);
        self.site
    }

    /// `tacho run --agent AGENT -- COMMAND ...`, ready to be started; the command sees what agents see.
    pub fn run(&self, agent: &str, command: &[&Path]) -> Command {
        let mut run = self.site.tacho();
        run.args(["run", "--agent", agent, "--"]).args(command);
        run
    }

    /// As [`Gateway::run`], to its end, with what to say if the gateway had something to say meanwhile.
    pub fn run_to_end(&self, agent: &str, command: &[&Path], input: &str) -> Result<Finished, Trouble> {
        finish(&mut self.run(agent, command), input.as_bytes(), CLIENT_SECONDS_MAX)
    }

    /// The same, of a run that was started for `task`.
    pub fn run_titled(&self, agent: &str, task: &str, command: &[&Path]) -> Result<Finished, Trouble> {
        let mut run = self.site.tacho();
        run.args(["run", "--agent", agent, "--task", task, "--"]).args(command);
        finish(&mut run, b"", CLIENT_SECONDS_MAX)
    }

    /// A run that waits, for clients that are not its children: they use its credentials, which die
    /// when the lease is dropped.
    pub fn lease(&self, agent: &str) -> Result<Lease, Trouble> {
        self.lease_saying(agent, ":").map(|(lease, _nothing)| lease)
    }

    /// The same, and what a shell's command prints in it: nobody else reads the files of a run's home.
    pub fn lease_saying(&self, agent: &str, command: &str) -> Result<(Lease, String), Trouble> {
        let script = format!("env; echo {END_OF_ENVIRONMENT}; {command}; echo {END}; exec sleep 100000");
        let sh = [Path::new("/bin/sh"), Path::new("-c"), Path::new(&script)];
        let log = self.site.scratch.path().join(format!("lease-{}", free_port().unwrap_or_default()));
        let mut daemon = Daemon::start(&mut self.run(agent, &sh), &log, "TERM")?;
        let read = || std::fs::read_to_string(&log).unwrap_or_default();
        daemon.wait_ready(START_SECONDS_MAX, || read().contains(END))?;
        let said = read();
        let (variables, rest) = said.split_once(END_OF_ENVIRONMENT).unwrap_or((&said, ""));
        let words = rest.split_once(END).map_or(rest, |(words, _)| words).trim_start().to_owned();
        Ok((Lease { environment: environment(variables), _daemon: daemon }, words))
    }

    /// For the message of a failed assertion.
    pub fn explain(&self, done: &Finished) -> String {
        format!("{}\n--- gateway\n{}", done.all(), tail(&self.log()))
    }
}

/// What a lease prints behind its variables, and behind all that it says.
const END_OF_ENVIRONMENT: &str = "end-of-environment";
const END: &str = "end-of-words";

/// The credentials of a run that is still there.
#[must_use]
#[derive(Debug)]
pub struct Lease {
    environment: Vec<(String, String)>,
    _daemon: Daemon,
}

impl Lease {
    /// A variable of the run's environment, empty if it is not set.
    pub fn variable(&self, name: &str) -> &str {
        self.environment.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    pub fn user(&self) -> &str {
        self.variable("PGUSER")
    }

    pub fn password(&self) -> &str {
        self.variable("PGPASSWORD")
    }
}

fn environment(printed: &str) -> Vec<(String, String)> {
    let pairs = printed.lines().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
