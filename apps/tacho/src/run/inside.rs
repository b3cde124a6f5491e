//! The first process of a run: it hides what is the gateway's, makes the run's home, starts the agent without
//! privileges, passes signals on, and reaps. As pid 1 of its namespace its end is the end of everything in it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::guard::{Agent, Guard, cannot, mount_all, mount_flags};
use super::home::HomeFile;
use super::jail;
use super::separation::tool;
use crate::fault::{Failure, Outcome};
use crate::limits::SYSTEM_ROOTS_BYTES_MAX;

/// The variable that carries the [`Spec`]; the agent never has it.
pub const SPEC: &str = "TACHO_INSIDE";

/// What `tacho run` asks of the first process.
#[derive(Serialize, Deserialize)]
pub struct Spec {
    /// The uid and gid that the agent gets.
    pub become_user: Option<(u32, u32)>,
    /// Whether this process has a mount namespace of its own.
    pub mounts: bool,
    pub home: PathBuf,
    pub home_files: Vec<HomeFile>,
    pub guard: Guard,
    /// Set where this process has a network namespace of its own.
    pub jail: Option<jail::Plan>,
}

/// `tacho inside -- COMMAND`
pub fn inside(command: &[OsString]) -> Outcome {
    let spec = std::env::var(SPEC).ok().and_then(|text| serde_json::from_str::<Spec>(&text).ok());
    let Some(spec) = spec else {
        return Err(Failure::usage("`tacho inside` is started by `tacho run` and by nothing else; use that"));
    };
    close_fds::set_fds_cloexec(3, &[]);
    // Nobody but root may look into this process while the agent lives beside it.
    let _older_kernels_do_without =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if let Some(plan) = &spec.jail {
        jail::network::make(plan)?;
    }
    if spec.mounts {
        spec.hide()?;
    }
    spec.make_home()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|e| Failure::could_not(format!("cannot start the first process of the run: {e}")))?;
    runtime.block_on(spec.start(command))
}

impl Spec {
    /// Mounts over everything of the gateway's, and enters the working directory anew: the one that this process was in is beneath.
    fn hide(&self) -> Result<(), Failure> {
        let gone =
            |e| Failure::could_not(format!("the working directory cannot be told: {e}; enter another"));
        let working = std::env::current_dir().map_err(gone)?;
        let (is_caller, uid) = (self.become_user.is_none(), self.become_user.unwrap_or_else(own_ids).0);
        let agent = Agent { uid, in_groups: is_caller, is_caller, working };
        mount_all(&self.guard, &agent)?;
        if let Some(plan) = &self.jail {
            resolve_by(&plan.resolv_conf)?;
        }
        std::env::set_current_dir(&agent.working).map_err(|e| Failure::file("enter", &agent.working, &e))
    }

    /// The home is a file system of its own where there is a mount namespace, so that no other run can reach it.
    fn make_home(&self) -> Result<(), Failure> {
        if self.mounts {
            self.hide_other_homes()?;
            let (uid, gid) = self.become_user.unwrap_or_else(own_ids);
            let options = format!("mode=0700,uid={uid},gid={gid},size=64m,nr_inodes=16k");
            let options = std::ffi::CString::new(options).map_err(|e| Failure::could_not(e.to_string()))?;
            mount(
                "tmpfs",
                self.home.as_path(),
                "tmpfs",
                MountFlags::NOSUID | MountFlags::NODEV,
                Some(options.as_c_str()),
            )
            .map_err(|e| cannot("mount the run's home at", &self.home, e))?;
        }
        for file in &self.home_files {
            let path = self.home.join(&file.name);
            if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
                let made = fs::DirBuilder::new().mode(0o700).create(folder);
                made.map_err(|e| Failure::file("make", folder, &e))?;
                if let Some((uid, gid)) = self.become_user {
                    std::os::unix::fs::chown(folder, Some(uid), Some(gid))
                        .map_err(|e| Failure::file("give away", folder, &e))?;
                }
            }
            let mut options = fs::OpenOptions::new();
            options.write(true).create_new(true).mode(if file.program { 0o700 } else { 0o600 });
            let mut made = options.open(&path).map_err(|e| Failure::file("write", &path, &e))?;
            let roots = if file.after_system_roots { system_roots() } else { Vec::new() };
            std::io::Write::write_all(&mut made, &roots)
                .and_then(|()| std::io::Write::write_all(&mut made, file.text.as_bytes()))
                .map_err(|e| Failure::file("write", &path, &e))?;
            if let Some((uid, gid)) = self.become_user {
                std::os::unix::fs::fchown(&made, Some(uid), Some(gid))
                    .map_err(|e| Failure::file("give away", &path, &e))?;
            }
        }
        Ok(())
    }

    /// Where homes are, this run has the place of its own alone: an agent with the same uid cannot put one of its directories into
    /// the place of another run's home.
    fn hide_other_homes(&self) -> Result<(), Failure> {
        let Some(homes) = self.home.parent() else { return Ok(()) };
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        let failed = |e| cannot("make room for the run's home at", homes, e);
        mount("tmpfs", homes, "tmpfs", flags, Some(c"mode=0755,size=16k,nr_inodes=4")).map_err(failed)?;
        fs::create_dir(&self.home).map_err(|e| Failure::file("make", &self.home, &e))?;
        mount_remount(homes, MountFlags::BIND | MountFlags::RDONLY | flags, "").map_err(failed)
    }

    /// Starts the agent in a session of its own, without privileges, and stays until it ends.
    async fn start(&self, command: &[OsString]) -> Outcome {
        let mut signals =
            Signals::new().map_err(|e| Failure::could_not(format!("cannot take signals: {e}")))?;
        if self.jail.is_some() {
            // After everything that this process itself needs.
            jail::filter::apply()?;
        }
        let agent = self.agent(command)?.spawn().map_err(|e| {
            Failure::could_not(format!("cannot start the agent: {e}; is util-linux installed?"))
        })?;
        let Some(agent) = Pid::from_raw(agent.id().cast_signed()) else {
            return Err(Failure::could_not("the agent has no process id"));
        };
        loop {
            match signals.next().await {
                // The agent leads a session of its own, so its whole group is meant.
                Some(number) => {
                    let _gone = rustix::process::kill_process_group(agent, number);
                }
                None => {
                    if let Some(code) = reap(agent) {
                        return Ok(ExitCode::from(code));
                    }
                }
            }
        }
    }

    fn agent(&self, command: &[OsString]) -> Result<Command, Failure> {
        // A session of its own: the agent has no controlling terminal into which it could type.
        let mut agent = Command::new(tool("setsid")?);
        agent.arg(tool("setpriv")?).args(["--no-new-privs", "--pdeathsig", "KILL"]);
        if let Some((uid, gid)) = self.become_user {
            agent.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]);
        }
        if self.mounts {
            agent.args(["--ambient-caps=-all", "--inh-caps=-all", "--bounding-set=-all"]);
        }
        agent.arg("--").args(command);
        let environment: BTreeMap<OsString, OsString> =
            std::env::vars_os().filter(|(name, _)| name != SPEC).collect();
        agent.env_clear().envs(environment);
        Ok(agent)
    }
}

/// The certificates that this system trusts, PEM, where its distribution keeps them. Without any, clients trust the proxy
/// alone, which is all that they can reach in a jail.
fn system_roots() -> Vec<u8> {
    const PLACES: &[&str] = &[
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let read = |place: &&str| {
        let mut roots = Vec::new();
        let file = fs::File::open(place).ok()?;
        std::io::Read::take(file, SYSTEM_ROOTS_BYTES_MAX).read_to_end(&mut roots).ok()?;
        (!roots.is_empty()).then_some(roots)
    };
    let mut roots = PLACES.iter().find_map(read).unwrap_or_default();
    if roots.last().is_some_and(|last| *last != b'\n') {
        roots.push(b'\n');
    }
    roots
}

/// Puts the jail's own file where the system says who resolves names. Where there is none, clients ask 127.0.0.1, which is
/// the jail's resolver too.
fn resolve_by(file: &Path) -> Result<(), Failure> {
    // Through links: it is often one into /run.
    let Ok(path) = fs::canonicalize("/etc/resolv.conf") else { return Ok(()) };
    let flags = mount_flags(file);
    mount_bind(file, &path).map_err(|e| cannot("say who resolves names in", &path, e))?;
    mount_remount(&path, MountFlags::BIND | MountFlags::RDONLY | flags, "")
        .map_err(|e| cannot("say who resolves names in", &path, e))
}

/// Collects every child that has ended; the agent's exit code if it is among them.
fn reap(agent: Pid) -> Option<u8> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == agent {
            code = Some(exit_code(status));
        }
    }
    code
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

fn own_ids() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

struct Signals {
    children: Stream,
    passed_on: Vec<(Signal, Stream)>,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        let kinds = [
            (Signal::INT, SignalKind::interrupt()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
            (Signal::WINCH, SignalKind::window_change()),
        ];
        let passed_on = kinds.into_iter().map(|(number, kind)| Ok((number, signal(kind)?)));
        Ok(Signals {
            children: signal(SignalKind::child())?,
            passed_on: passed_on.collect::<std::io::Result<_>>()?,
        })
    }

    /// The next signal to pass on, or `None` if a child has ended.
    async fn next(&mut self) -> Option<Signal> {
        std::future::poll_fn(|cx| {
            if self.children.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(None);
            }
            for (number, stream) in &mut self.passed_on {
                if stream.poll_recv(cx).is_ready() {
                    return std::task::Poll::Ready(Some(*number));
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}
