//! How the agent is kept from the gateway's belongings: another uid, or namespaces, or not at all.
//!
//! | caller | separation | what keeps the agent out |
//! |---|---|---|
//! | root | [`Separation::User`] | another uid without groups, and new mount and pid namespaces |
//! | anybody | [`Separation::Namespaces`] | new user, mount and pid namespaces: what is the gateway's is mounted over, other processes are not there |
//! | inside a run | [`Separation::Inherited`] | what the outer run has |
//! | a kernel without user namespaces | [`Separation::None`] | nothing; the run is recorded `unconfined` |
//!
//! No agent has capabilities, gains privileges by exec, or has a descriptor of the gateway's.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::{AgentUser, Config, Credential, Database, Host, Upstream, What};
use crate::fault::Failure;
use crate::files;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Separation {
    User(AgentUser),
    Namespaces,
    Inherited,
    None,
}

impl Separation {
    /// The strongest that this caller and kernel have.
    pub fn choose(config: &Config) -> Result<Separation, Failure> {
        if rustix::process::geteuid().is_root() {
            return Ok(Separation::User(agent_user(config)?));
        }
        Ok(if namespaces_work() { Separation::Namespaces } else { Separation::None })
    }

    /// Whether P6 and P8 may be claimed for the run.
    pub fn confines(&self) -> bool {
        matches!(self, Separation::User(_) | Separation::Namespaces)
    }

    /// The uid that the agent runs as.
    pub fn uid(&self) -> u32 {
        match self {
            Separation::User(user) => user.uid,
            Separation::Namespaces | Separation::Inherited | Separation::None => {
                rustix::process::getuid().as_raw()
            }
        }
    }

    /// What to say of a command that ended with `code`, where the cause may be that the agent is another user than the caller.
    pub fn remark(&self, command: &[OsString], code: u8) -> Option<String> {
        let Separation::User(user) = self else { return None };
        let out_of_reach = || command.iter().map(Path::new).find(|word| !may_read(user, word));
        let why = match (code, out_of_reach()) {
            (0, _) => return None,
            (_, Some(path)) => format!("which may not read {}", path.display()),
            (126 | 127, None) => "which perhaps may not start the command".to_owned(),
            (_, None) => return None,
        };
        Some(format!(
            "the command ran as user {} (uid {}), {why}; set agent_user in [gateway] to a user who may, or let that one",
            crate::users::name_of(user.uid),
            user.uid
        ))
    }

    pub fn describe(&self) -> String {
        match self {
            Separation::User(user) => {
                format!(
                    "as user {} (uid {}), in its own mount and pid namespaces",
                    crate::users::name_of(user.uid),
                    user.uid
                )
            }
            Separation::Namespaces => "as you, in its own user, mount and pid namespaces".to_owned(),
            Separation::Inherited => "inside the outer run".to_owned(),
            Separation::None => "UNCONFINED: as you, and able to read what you can read".to_owned(),
        }
    }
}

/// The configured user; else `nobody`, whom every system has.
pub fn agent_user(config: &Config) -> Result<AgentUser, Failure> {
    if let Some(user) = &config.gateway.agent_user {
        return Ok(user.clone());
    }
    crate::users::by_name("nobody").filter(|user| user.uid != 0).ok_or_else(|| {
        Failure::could_not(
            "there is no user `nobody` to run agents as; add a user and set agent_user in [gateway]",
        )
    })
}

/// Whether the modes let the user read a file and pass the directories above it. What is no file is no question.
fn may_read(user: &AgentUser, file: &Path) -> bool {
    let Ok(path) = file.canonicalize() else { return true };
    let may = |path: &Path, bit: u32| {
        let Ok(meta) = std::fs::metadata(path) else { return false };
        let shift = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        meta.mode() >> shift & bit != 0
    };
    may(&path, 4) && path.ancestors().skip(1).all(|directory| may(directory, 1))
}

/// Whether this user may make the namespaces that [`Separation::Namespaces`] needs.
pub fn namespaces_work() -> bool {
    let Ok(unshare) = tool("unshare") else { return false };
    let probe = Command::new(unshare)
        .args(NAMESPACES)
        .args(["--", "/bin/true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    probe.is_ok_and(|status| status.success())
}

/// What `unshare` is asked for where the caller is not root.
pub const NAMESPACES: &[&str] = &[
    "--user",
    "--map-current-user",
    "--keep-caps",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=KILL",
    "--mount-proc",
];
/// And where it is.
pub const NAMESPACES_AS_ROOT: &[&str] = &["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];

/// And in addition for a jail: nothing to talk over but what is brought into it.
pub const NAMESPACES_OF_A_JAIL: &[&str] = &["--net", "--ipc"];

/// A program of util-linux, from where the system keeps it and never from the caller's `PATH`.
pub fn tool(name: &str) -> Result<PathBuf, Failure> {
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    places.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::could_not(format!(
            "there is no `{name}` on this machine, which separates agents; install util-linux"
        ))
    })
}

/// Everything of the gateway's and its operators' that an agent must not see. Directories and files, there or not.
pub fn hidden(config: &Config) -> Vec<PathBuf> {
    let gateway = &config.gateway;
    let mut out = vec![gateway.data.clone(), gateway.keys.clone()];
    out.extend(gateway.control.parent().map(Path::to_owned));
    out.extend(files::config_home());
    for resource in &config.resources {
        if let Credential::File(path) = &resource.credential {
            out.push(path.clone());
        }
        out.extend(resource.client_certificate.iter().map(|pair| pair.key.clone()));
        out.extend(resource.tls.iter().map(|pair| pair.key.clone()));
        if let What::Postgres(Database { upstream: Upstream { host: Host::Unix(directory), .. }, .. }) =
            &resource.what
        {
            out.push(directory.clone());
        }
    }
    out.extend(WAYS_OUT.iter().map(PathBuf::from));
    out.push(PathBuf::from(format!("/run/user/{}", rustix::process::getuid().as_raw())));
    out
}

/// Sockets of daemons that run what they are told, as somebody else.
const WAYS_OUT: &[&str] = &[
    "/run/docker.sock",
    "/run/podman",
    "/run/containerd",
    "/run/dbus/system_bus_socket",
    "/run/systemd/private",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_its_user_may_not_read_is_said_with_that_user() {
        use std::os::unix::fs::PermissionsExt;
        let dir = crate::files::scratch("remark");
        let file = dir.join("agent.py");
        std::fs::write(&file, "").unwrap();
        let set =
            |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        let nobody = Separation::User(AgentUser { name: None, uid: 65_533, gid: 65_533 });
        let remark = |code| nobody.remark(&["python".into(), file.clone().into()], code);
        set(&file, 0o644);
        set(&dir, 0o755);
        assert_eq!(remark(2), None, "it could be read, and ended as it did for a reason of its own");
        assert!(remark(127).unwrap().contains("perhaps may not start"));
        set(&dir, 0o700);
        let said = remark(2).unwrap();
        assert!(
            said.contains("uid 65533") && said.contains("agent.py") && said.contains("agent_user"),
            "{said}"
        );
        assert_eq!(remark(0), None);
        assert_eq!(Separation::Namespaces.remark(&[file.into()], 2), None);
    }

    #[test]
    fn what_an_agent_must_not_see_is_complete() {
        let text = r#"
[gateway]
data = "d"
[[resource]]
name = "crm"
kind = "postgres"
listen = "127.0.0.1:1"
upstream = "postgres://a@%2Fvar%2Frun%2Fpostgresql/x"
credential = { file = "pw" }
client_certificate = { cert = "c.crt", key = "c.key" }
tls = { cert = "s.crt", key = "s.key" }
"#;
        let config = Config::parse(Path::new("/srv/tacho.toml"), text.as_bytes()).unwrap();
        let hidden = hidden(&config);
        for path in [
            "/srv/d",
            "/srv/tacho-keys",
            "/srv/tacho-run",
            "/srv/pw",
            "/srv/c.key",
            "/srv/s.key",
            "/var/run/postgresql",
        ] {
            assert!(hidden.contains(&PathBuf::from(path)), "{path} in {hidden:?}");
        }
    }
}
