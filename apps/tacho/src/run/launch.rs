//! Starts the agent's command behind its separation, forwards signals to it, and waits for its end.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::time::{Interval, interval};

use super::guard::Guard;
use super::home::HomeFile;
use super::inside::{SPEC, Spec};
use super::jail::{Jail, Plan};
use super::separation::{NAMESPACES, NAMESPACES_AS_ROOT, NAMESPACES_OF_A_JAIL, Separation, tool};
use crate::desk::Hold;
use crate::fault::Failure;
use crate::limits::{JAIL_HANDSHAKE, JAIL_LAST_WORDS, ORPHANS_INTERVAL};

/// What is started.
pub struct Launch<'a> {
    pub separation: &'a Separation,
    pub command: &'a [OsString],
    pub environment: BTreeMap<OsString, OsString>,
    pub home: &'a Home,
    pub home_files: Vec<HomeFile>,
    pub guard: Guard,
    /// What it prints goes to standard error.
    pub quiet: bool,
    /// The run's life; inside another run, that one's holds.
    pub hold: Option<&'a mut Hold>,
    pub jail: Option<&'a mut Jail>,
}

/// The directory where the run's home is. The files in it are written from inside.
pub struct Home {
    path: PathBuf,
    /// Locked while the run lives, so that the next one can tell a home that nobody lives in.
    _lived_in: File,
}

const HOME: &str = "tacho-home-";
/// Where all homes of one user's runs are: each run has it for itself, with its own home in it.
const HOMES: &str = "/tmp/tacho-homes";

impl Home {
    /// A new, empty directory that only this user can enter.
    pub fn new(separation: &Separation) -> Result<Home, Failure> {
        let below = match separation {
            Separation::Inherited => {
                std::env::var_os("HOME").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
            }
            Separation::User(_) | Separation::Namespaces | Separation::None => homes()?,
        };
        sweep(&below);
        loop {
            let name = crate::hex::encode(&crate::operators::random::<8>()?);
            let path = below.join(format!("{HOME}{name}"));
            let failed = |e: std::io::Error| Failure::file("make the run's home", &path, &e);
            DirBuilder::new().mode(0o700).create(&path).map_err(failed)?;
            // Between the two steps another run may sweep it away.
            match File::open(&path).and_then(|dir| dir.try_lock().map(|()| dir).map_err(Into::into)) {
                Ok(dir) if path.exists() => return Ok(Home { path, _lived_in: dir }),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::WouldBlock) => {}
                Err(e) => return Err(failed(e)),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// This user's own directory for homes, which nobody else may have made.
fn homes() -> Result<PathBuf, Failure> {
    let own = rustix::process::geteuid().as_raw();
    let path = PathBuf::from(format!("{HOMES}-{own}"));
    crate::files::own_dir(&path)?;
    let found = std::fs::symlink_metadata(&path).map_err(|e| Failure::file("look at", &path, &e))?;
    match found.is_dir() && found.uid() == own {
        true => Ok(path),
        false => Err(Failure::could_not(format!(
            "{} is for the homes of your runs, and uid {} has made it; have it removed",
            path.display(),
            found.uid()
        ))),
    }
}

/// Removes the homes of this user's runs that died without a chance to do it themselves (SIGKILL, a power cut).
fn sweep(below: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(below).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(HOME.as_bytes())
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        let path = entry.path();
        if ours && File::open(&path).is_ok_and(|dir| dir.try_lock().is_ok()) {
            // Somebody else may be sweeping too.
            let _gone = std::fs::remove_dir_all(&path);
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Where the home was a mount of its own, its contents went with the namespace and this is an empty directory.
        let _left_for_the_next_boot = std::fs::remove_dir_all(&self.path);
    }
}

impl Launch<'_> {
    /// Runs the command to its end. Returns its exit code, or 128 + the signal that ended it.
    pub async fn run(mut self) -> Result<u8, Failure> {
        let mut hold = self.hold.take();
        let jail = self.jail.take();
        let plan = jail.as_ref().map(|jail| jail.plan.clone());
        let mut signals = Signals::new()?;
        let program = self.command.first().map(|p| p.display().to_string()).unwrap_or_default();
        let namespaced = self.separation.confines();
        if !namespaced {
            // Nothing ends what the agent leaves behind: it comes to this process, by which the gateway knows whose it is.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| {
                Failure::could_not(format!("cannot keep the agent's processes together: {e}"))
            })?;
        }
        let mut child = self.into_command(plan)?.spawn().map_err(|e| {
            Failure::could_not(format!("cannot start {program}: {e}; is util-linux installed?"))
        })?;
        if let Some(jail) = jail
            && let Err(failure) = jail.open(&mut child).await
        {
            // Mostly it ends by itself, and says why.
            if tokio::time::timeout(JAIL_LAST_WORDS, child.wait()).await.is_err() {
                let _gone = child.kill().await;
            }
            return Err(failure);
        }
        let status = forward_until_exit(&mut child, namespaced, &mut signals, &mut hold).await?;
        Ok(code(status))
    }

    fn into_command(self, jail: Option<Plan>) -> Result<Command, Failure> {
        let own = own_program()?;
        let mut words: Vec<OsString> =
            vec![tool("setpriv")?.into(), "--pdeathsig".into(), "KILL".into(), "--".into()];
        match self.separation {
            Separation::User(_) => words.extend(namespace_words(NAMESPACES_AS_ROOT, jail.is_some())?),
            Separation::Namespaces => words.extend(namespace_words(NAMESPACES, jail.is_some())?),
            Separation::Inherited | Separation::None => {}
        }
        words.extend([own.into_os_string(), "inside".into(), "--".into()]);
        words.extend(self.command.iter().cloned());
        let spec = Spec {
            become_user: match self.separation {
                Separation::User(user) => Some((user.uid, user.gid)),
                Separation::Namespaces | Separation::Inherited | Separation::None => None,
            },
            mounts: self.separation.confines(),
            home: self.home.path().to_owned(),
            home_files: self.home_files,
            guard: self.guard,
            jail,
        };
        let spec = serde_json::to_string(&spec)
            .map_err(|e| Failure::could_not(format!("a configured path is not text ({e}); rename it")))?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.environment).env(SPEC, spec);
        if self.separation.confines() {
            command.process_group(0);
        }
        if self.quiet {
            command.stdout(std::io::stderr());
        }
        Ok(command)
    }
}

/// This program's own file.
pub fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|e| Failure::could_not(format!("cannot find this program's own file: {e}")))
}

/// Makes a jail with nobody in it, so that a kernel that refuses any part of one has refused before there is a run.
pub async fn try_jail(separation: &Separation, guard: &Guard) -> Result<(), Failure> {
    let home = Home::new(separation)?;
    let launch = Launch {
        separation,
        command: &["/bin/true".into()],
        environment: BTreeMap::new(),
        home: &home,
        home_files: Vec::new(),
        guard: guard.clone(),
        quiet: false,
        hold: None,
        jail: None,
    };
    let mut command = launch.into_command(Some(Plan::trial(home.path())?))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let done = tokio::time::timeout(JAIL_HANDSHAKE, command.output()).await;
    let why = match done {
        Ok(Ok(output)) if output.status.success() => return Ok(()),
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; "),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "it was not ready in time".to_owned(),
    };
    Err(Failure::could_not(format!("the agent cannot be jailed here: {why}; nothing was started")))
}

fn namespace_words(flags: &[&str], jailed: bool) -> Result<Vec<OsString>, Failure> {
    let mut words: Vec<OsString> = vec![tool("unshare")?.into()];
    words.extend(flags.iter().map(OsString::from));
    if jailed {
        words.extend(NAMESPACES_OF_A_JAIL.iter().map(OsString::from));
    }
    words.push("--".into());
    Ok(words)
}

/// The signals that a user or a service manager sends to `tacho run` and means for the agent.
struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let kinds = [
            (Signal::INT, SignalKind::interrupt()),
            (Signal::TERM, SignalKind::terminate()),
            (Signal::HUP, SignalKind::hangup()),
            (Signal::QUIT, SignalKind::quit()),
            (Signal::USR1, SignalKind::user_defined1()),
            (Signal::USR2, SignalKind::user_defined2()),
            (Signal::WINCH, SignalKind::window_change()),
        ];
        let streams = kinds.into_iter().map(|(number, kind)| Ok((number, signal(kind)?)));
        let streams: std::io::Result<Vec<_>> = streams.collect();
        streams.map(Signals).map_err(|e| Failure::could_not(format!("cannot take signals: {e}")))
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (number, stream) in &mut self.0 {
                if let std::task::Poll::Ready(Some(())) = stream.poll_recv(cx) {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

async fn forward_until_exit(
    child: &mut Child,
    namespaced: bool,
    signals: &mut Signals,
    hold: &mut Option<&mut Hold>,
) -> Result<ExitStatus, Failure> {
    let mut orphans = Orphans::new(namespaced);
    loop {
        let outer = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let (target, number) = tokio::select! {
            status = child.wait() => {
                return status.map_err(|e| Failure::could_not(format!("cannot wait for the agent: {e}")));
            }
            number = signals.next() => {
                (if namespaced { outer.and_then(crate::proc::child_of) } else { outer }, number)
            }
            () = orphans.due() => {
                orphans.reap();
                continue;
            }
            () = over(hold) => {
                *hold = None;
                eprintln!("tacho: the gateway ended the run (revoked, expired, or the gateway itself is gone); the agent is stopped");
                // With the first process of the namespaces, all in them end.
                (outer, Signal::KILL)
            }
        };
        if let Some(target) = target {
            // It may have ended in this moment; then `wait` says so.
            let _gone = rustix::process::kill_process(target, number);
        }
    }
}

/// Processes that the agent left behind, where it is in no namespace whose end is theirs.
struct Orphans {
    looks: Option<Interval>,
    ended: Vec<Pid>,
}

impl Orphans {
    fn new(namespaced: bool) -> Orphans {
        Orphans { looks: (!namespaced).then(|| interval(ORPHANS_INTERVAL)), ended: Vec::new() }
    }

    async fn due(&mut self) {
        match &mut self.looks {
            Some(looks) => drop(looks.tick().await),
            None => std::future::pending().await,
        }
    }

    fn reap(&mut self) {
        self.ended = crate::proc::reap_orphans(&self.ended);
    }
}

/// Without a hold there is nothing to wait for.
async fn over(hold: &mut Option<&mut Hold>) {
    match hold {
        Some(hold) => hold.over().await,
        None => std::future::pending().await,
    }
}

/// A shell's way to say how a command ended.
pub fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_nobody_lives_in_is_swept_and_one_that_is_lived_in_stays() {
        let dir = crate::files::scratch("homes");
        let (dead, other) = (dir.join("tacho-home-0011"), dir.join("not-a-home"));
        std::fs::create_dir_all(dead.join("deep")).unwrap();
        std::fs::create_dir(&other).unwrap();
        let lived_in = dir.join("tacho-home-2233");
        std::fs::create_dir(&lived_in).unwrap();
        let lock = File::open(&lived_in).unwrap();
        lock.lock().unwrap();
        sweep(&dir);
        assert_eq!((dead.exists(), other.exists(), lived_in.exists()), (false, true, true));
        drop(lock);
        sweep(&dir);
        assert!(!lived_in.exists());
    }

    #[test]
    fn an_end_is_told_as_a_shell_tells_it() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
    }
}
